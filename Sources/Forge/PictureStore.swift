import Dispatch
import Foundation
import Imaging
import Scenes
import TensorCore

/// Pictures of one manner, one after the other in a single mapped file of RGB bytes.
///
/// A picture's scene follows from its seed alone, so nothing but pixels is stored, and captions are worded anew at each use.
struct PictureStore: Sendable {
    enum Manner: String, CaseIterable, Sendable {
        /// Rendered in the studio: what the embedded model draws.
        case pictures
        /// Drawn flat in any style: what the captioner must read besides.
        case drawn
    }

    let manner: Manner
    let size: Int
    let seed: UInt64
    let count: Int
    private let bytes: Data

    private static func bytesPerPicture(_ size: Int) -> Int { size * size * 3 }
    private static func firstSeed(_ manner: Manner, _ recipe: Recipe) -> UInt64 {
        manner == .pictures ? recipe.seed : recipe.seed &+ 100_000_000
    }

    /// The scene that a seed stands for.
    static func scene(seed: UInt64) -> Scene {
        var generator = SplitMix64(seed: seed)
        return Scene.random(using: &generator)
    }

    /// Renders what is missing of a manner's pictures, in blocks, so that an interrupted rendering goes on where it stopped.
    static func render(_ manner: Manner, _ recipe: Recipe, to path: String, log: (String) -> Void) throws {
        let each = bytesPerPicture(recipe.pictureSize), block = 256
        let first = firstSeed(manner, recipe), count = manner == .pictures ? recipe.pictures : recipe.drawnPictures
        if !FileManager.default.fileExists(atPath: path) { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        defer { try? file.close() }
        var done = Int(try file.seekToEnd()) / each
        try file.truncate(atOffset: UInt64(done * each))
        try file.seekToEnd()
        while done < count {
            let next = min(count, done + block)
            let pictures = renderAll(seeds: (done..<next).map { first &+ UInt64($0) }, manner, size: recipe.pictureSize)
            for picture in pictures { try file.write(contentsOf: Data(picture.rgb)) }
            done = next
            log("render: \(done) of \(count) (\(manner.rawValue))")
        }
    }

    private static func render(seed: UInt64, _ manner: Manner, size: Int) -> Pixels {
        var generator = SplitMix64(seed: seed)
        let scene = Scene.random(using: &generator)
        return manner == .pictures ? scene.render(size: size) : DrawnPictures.render(scene, size: size, using: &generator)
    }

    /// The pictures of the given seeds, rendered on all cores.
    static func renderAll(seeds: [UInt64], _ manner: Manner = .pictures, size: Int) -> [Pixels] {
        [Pixels?](unsafeUninitializedCapacity: seeds.count) { slots, filled in
            slots.initialize(repeating: nil)
            let target = UncheckedSlots(slots)
            DispatchQueue.concurrentPerform(iterations: seeds.count) { index in
                target.slots[index] = render(seed: seeds[index], manner, size: size)
            }
            filled = seeds.count
        }.compactMap { $0 }
    }

    init(_ manner: Manner, _ recipe: Recipe, workshop: Workshop) throws {
        let path = workshop.picturesPath(manner)
        guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped), !bytes.isEmpty else {
            throw ForgeError.missing(stage: "training", needs: path, command: "loralab forge render")
        }
        (self.manner, size, seed, self.bytes) = (manner, recipe.pictureSize, Self.firstSeed(manner, recipe), bytes)
        count = bytes.count / Self.bytesPerPicture(size)
    }

    func scene(_ index: Int) -> Scene { Self.scene(seed: seed &+ UInt64(index)) }

    /// One wording of the picture's caption.
    func caption(_ index: Int, using generator: inout TorchGenerator) -> String { scene(index).caption(using: &generator) }

    /// - Returns: pictures `[B, size, size, 3]` in −1...1.
    func batch(_ indices: [Int]) -> Tensor { crops(indices.map { ($0, 0, 0) }, side: size) }

    /// One picture moved at random by up to `reach` pixels along each side, its rim repeated where it leaves a gap.
    ///
    /// - Returns: `[1, size, size, 3]` in −1...1.
    func shifted(_ index: Int, reach: Int, using generator: inout TorchGenerator) -> Tensor {
        let dx = generator.integer(below: 2 * reach + 1) - reach, dy = generator.integer(below: 2 * reach + 1) - reach
        let rows = (0..<size).map { min(max($0 + dy, 0), size - 1) }, columns = (0..<size).map { min(max($0 + dx, 0), size - 1) }
        return Tensor(shape: [1, size, size, 3]) { target in
            bytes.withUnsafeBytes { source in
                var next = 0
                for row in rows {
                    let start = index * Self.bytesPerPicture(size) + row * size * 3
                    for column in columns {
                        for channel in 0..<3 {
                            target[next] = Float(source[start + column * 3 + channel]) / 127.5 - 1
                            next += 1
                        }
                    }
                }
            }
        }
    }

    /// - Returns: `count` crops of pictures drawn at random, `[count, side, side, 3]` in −1...1.
    func crops(_ count: Int, side: Int, using generator: inout TorchGenerator) -> Tensor {
        let places = (0..<count).map { _ in
            let room = size - side + 1
            return (generator.integer(below: self.count), generator.integer(below: room), generator.integer(below: room))
        }
        return crops(places, side: side)
    }

    private func crops(_ places: [(picture: Int, x: Int, y: Int)], side: Int) -> Tensor {
        Tensor(shape: [places.count, side, side, 3]) { target in
            bytes.withUnsafeBytes { source in
                var next = 0
                for (picture, x, y) in places {
                    for row in y..<(y + side) {
                        let start = picture * Self.bytesPerPicture(size) + (row * size + x) * 3
                        for byte in source[start..<(start + side * 3)] {
                            target[next] = Float(byte) / 127.5 - 1
                            next += 1
                        }
                    }
                }
            }
        }
    }
}

/// Each task writes its own slot and no other, hence `@unchecked`.
private struct UncheckedSlots: @unchecked Sendable {
    let slots: UnsafeMutableBufferPointer<Pixels?>
    init(_ slots: UnsafeMutableBufferPointer<Pixels?>) { self.slots = slots }
}
