import Dispatch
import Foundation
import Imaging
import Scenes
import TensorCore

/// The rendered pictures, one after the other in a single mapped file of RGB bytes.
///
/// A picture's scene follows from its seed alone, so nothing but pixels is stored, and captions are worded anew at each use.
struct PictureStore: Sendable {
    let size: Int
    let seed: UInt64
    let count: Int
    private let bytes: Data

    private static func bytesPerPicture(_ size: Int) -> Int { size * size * 3 }

    /// The scene that a seed stands for.
    static func scene(seed: UInt64) -> Scene {
        var generator = SplitMix64(seed: seed)
        return Scene.random(using: &generator)
    }

    /// Renders what is missing of `recipe.pictures`, in blocks, so that an interrupted rendering goes on where it stopped.
    static func render(_ recipe: Recipe, to path: String, log: (String) -> Void) throws {
        let each = bytesPerPicture(recipe.pictureSize), block = 256
        if !FileManager.default.fileExists(atPath: path) { FileManager.default.createFile(atPath: path, contents: nil) }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        defer { try? file.close() }
        var done = Int(try file.seekToEnd()) / each
        try file.truncate(atOffset: UInt64(done * each))
        try file.seekToEnd()
        while done < recipe.pictures {
            let next = min(recipe.pictures, done + block)
            let pictures = renderAll(seeds: (done..<next).map { recipe.seed &+ UInt64($0) }, size: recipe.pictureSize)
            for picture in pictures { try file.write(contentsOf: Data(picture.rgb)) }
            done = next
            log("render: \(done) of \(recipe.pictures) pictures")
        }
    }

    /// The pictures of the given seeds, rendered on all cores.
    static func renderAll(seeds: [UInt64], size: Int) -> [Pixels] {
        [Pixels?](unsafeUninitializedCapacity: seeds.count) { slots, filled in
            slots.initialize(repeating: nil)
            let target = UncheckedSlots(slots)
            DispatchQueue.concurrentPerform(iterations: seeds.count) { index in
                target.slots[index] = scene(seed: seeds[index]).render(size: size)
            }
            filled = seeds.count
        }.compactMap { $0 }
    }

    init(_ recipe: Recipe, path: String) throws {
        guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped), !bytes.isEmpty else {
            throw ForgeError.missing(stage: "training", needs: path, command: "loralab forge render")
        }
        (size, seed, self.bytes) = (recipe.pictureSize, recipe.seed, bytes)
        count = bytes.count / Self.bytesPerPicture(size)
    }

    func scene(_ index: Int) -> Scene { Self.scene(seed: seed &+ UInt64(index)) }

    /// One wording of the picture's caption.
    func caption(_ index: Int, using generator: inout TorchGenerator) -> String { scene(index).caption(using: &generator) }

    /// - Returns: pictures `[B, size, size, 3]` in −1...1.
    func batch(_ indices: [Int]) -> Tensor { crops(indices.map { ($0, 0, 0) }, side: size) }

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
