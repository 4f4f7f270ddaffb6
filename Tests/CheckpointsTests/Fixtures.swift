import Checkpoints
import Foundation

/// What `make_checkpoints.py` wrote down about its files.
struct Expected: Decodable {
    struct Entry: Decodable { let shape: [Int], values: [Double] }
    struct Hashes: Decodable { let model: String, legacy: String, whole: String }
    let f32, f16, bf16, mixed: [String: Entry]
    let bits: [String: [UInt16]]
    let hashes: Hashes

    static func load() throws -> Expected {
        try JSONDecoder().decode(Expected.self, from: Data(contentsOf: URL(fileURLWithPath: fixture("expected.json"))))
    }
}

func fixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/checkpoints/\(name)").path
}

func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

/// A folder that is removed when the body is done.
func withFolder<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoints-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
}

/// The error that opening a file of these bytes gives; nil when it opens.
func openingError(_ content: [UInt8]) throws -> CheckpointError? {
    try withFolder { folder in
        let path = folder + "/model.safetensors"
        try Data(content).write(to: URL(fileURLWithPath: path))
        do throws(CheckpointError) {
            let file = try SafetensorsFile(path: path)
            // What opens must also be readable to its last byte.
            for key in file.keys { _ = try file.withBytes(key) { $0.reduce(0) { $0 &+ Int($1) } } }
            return nil
        } catch { return error }
    }
}

/// A file of this header, padded, and `dataCount` zero bytes.
func file(header: String, dataCount: Int) -> [UInt8] {
    let text = Array(header.utf8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + [UInt8](repeating: 0, count: dataCount)
}
