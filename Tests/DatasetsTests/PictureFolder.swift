import Foundation
import Imaging

/// A folder of made pictures that is gone when the test ends.
final class PictureFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "loralab-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A picture of `width`×`height` pixels whose colours depend on `shade`; folders are made as needed.
    @discardableResult
    func picture(_ name: String, _ width: Int = 64, _ height: Int = 64, shade: Int = 0, caption: String? = nil, extension ext: String = "txt") throws -> String {
        let rgb = (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ shade &* 57) }
        try file(name, PNG.encode(Pixels(width: width, height: height, rgb: rgb)))
        if let caption { try file(name.split(separator: ".").dropLast().joined(separator: ".") + "." + ext, Array(caption.utf8)) }
        return path + "/" + name
    }

    func file(_ name: String, _ bytes: [UInt8]) throws {
        let full = path + "/" + name
        try FileManager.default.createDirectory(atPath: (full as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(filePath: full))
    }

    func text(_ name: String) throws -> String { try String(contentsOfFile: path + "/" + name, encoding: .utf8) }
    func folder(_ name: String) throws { try FileManager.default.createDirectory(atPath: path + "/" + name, withIntermediateDirectories: true) }
}
