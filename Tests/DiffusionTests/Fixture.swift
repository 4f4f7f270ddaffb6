import Foundation

/// Reads `Tests/Fixtures/diffusion/<name>.json`, made by `make_diffusion.py`.
func fixture<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return try JSONDecoder().decode(T.self, from: Data(contentsOf: folder.appendingPathComponent("Fixtures/diffusion/\(name).json")))
}

/// The largest difference, relative to the largest expected magnitude.
func relativeError(_ found: [Float], _ expected: [Float]) -> Float {
    precondition(found.count == expected.count, "\(found.count) values for \(expected.count) expected")
    let scale = expected.map(abs).max() ?? 1
    return zip(found, expected).map { $0 == $1 ? 0 : abs($0 - $1) }.max().map { $0 / max(scale, .leastNormalMagnitude) } ?? 0
}
