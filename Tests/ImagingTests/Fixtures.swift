import Foundation
import Imaging

/// What `make_imaging.py` wrote down: the pixels of PIL and OpenCV.
enum Reference {
    private struct Place: Decodable { let offset: Int, width: Int, height: Int, channels: Int }
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/imaging")

    static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
    static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: folder.appendingPathComponent(name))) }

    /// Every case whose name begins so, sorted.
    static func names(_ prefix: String) throws -> [String] { try table().keys.filter { $0.hasPrefix(prefix) }.sorted() }

    static func pixels(_ name: String) throws -> Pixels {
        guard let place = try table()[name] else { throw CocoaError(.fileNoSuchFile) }
        let all = try bytes("expected.bin")[place.offset..<place.offset + place.width * place.height * place.channels]
        let isOpaque = place.channels == 3
        let rgb = isOpaque ? Array(all) : all.enumerated().filter { $0.offset % 4 != 3 }.map(\.element)
        let alpha = isOpaque ? nil : all.enumerated().filter { $0.offset % 4 == 3 }.map(\.element)
        return Pixels(width: place.width, height: place.height, rgb: rgb, alpha: alpha)
    }

    private static func table() throws -> [String: Place] { try JSONDecoder().decode([String: Place].self, from: Data(bytes("expected.json"))) }
}

/// The largest difference of two pictures of one size, in steps of 255; opacity counts too, and colours where something is opaque.
func difference(_ a: Pixels, _ b: Pixels) -> Int {
    guard a.width == b.width, a.height == b.height, (a.alpha == nil) == (b.alpha == nil) else { return .max }
    func largest(_ a: [UInt8], _ b: [UInt8], where counts: (Int) -> Bool = { _ in true }) -> Int {
        zip(a, b).enumerated().filter { counts($0.offset) }.map { abs(Int($0.element.0) - Int($0.element.1)) }.max() ?? 0
    }
    let colour = largest(a.rgb, b.rgb) { i in b.alpha.map { $0[i / 3] > 0 } ?? true }
    return max(colour, a.alpha.map { largest($0, b.alpha!) } ?? 0)
}

/// A small generator with a fixed course, so that a failing case can be repeated.
struct Dice {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func roll(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % count
    }
}

func withFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("imaging-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
}

func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
