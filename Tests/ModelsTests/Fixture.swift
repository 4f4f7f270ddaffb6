import Checkpoints
import Foundation
import Neural
import TensorCore
import TestSupport

extension FormulaWeights {
    /// One number for a model's keys and file shapes.
    static func signature(of registry: Registry) -> String {
        let lines = registry.tensors().map { "\($0.name):[\($0.tensor.shape.map(String.init).joined(separator: ", "))]\n" }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in lines.sorted().joined().utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(repeating: "0", count: 16 - String(hash, radix: 16).count) + String(hash, radix: 16)
    }
}

/// A case that `make_models.py` has written.
struct Fixture<Configuration: Decodable>: Decodable {
    let config: Configuration
    let signature: String
    let ids: [[Int]]?
    let generations: [Generation]?

    struct Generation: Decodable {
        let options: [String: Double]
        let prompt: [Int]
        let rows: [[Int]]
    }

    static func load(_ name: String) throws -> (Fixture, SafetensorsFile) {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/models")
        let fixture = try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: folder.appending(path: "\(name).json")))
        return (fixture, try SafetensorsFile(path: folder.appending(path: "\(name).safetensors").path))
    }
}

/// How far `found` is from `expected`: the larger of the relative distance by norm and the largest difference over the largest
/// magnitude.
func relativeError(_ found: Tensor, _ expected: Tensor) -> Float {
    guard found.shape == expected.shape else { return .infinity }
    var difference: Float = 0, square: Float = 0, largest: Float = 0, norm: Float = 0
    for (a, b) in zip(found.array, expected.array) {
        guard a.isFinite else { return .infinity }
        difference = max(difference, abs(a - b))
        square += (a - b) * (a - b)
        largest = max(largest, abs(b))
        norm += b * b
    }
    return max(difference / largest, (square / norm).squareRoot())
}

/// Float32 rounding through some fifty layers, in two libraries that sum in different orders.
let modelTolerance: Float = 1e-4
