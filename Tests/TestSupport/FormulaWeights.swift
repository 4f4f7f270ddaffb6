import Checkpoints
import Foundation
import Neural
import TensorCore

/// Weights by formula, as `Tests/Fixtures/formula.py` makes them.
public final class FormulaWeights: WeightSource {
    public let location = "weights by formula"
    public let keys: [String] = [], files: [MappedFile] = []
    public init() {}
    public func contains(_ key: String) -> Bool { true }

    public func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        if shape.count > 1 {
            let fanIn = shape.dropFirst().reduce(1, *)
            return Self.signed(key, shape, scale: Float((3 / Float(fanIn)).squareRoot()))
        }
        return key.hasSuffix("weight") ? Self.signed(key, shape, scale: 0.2) + 1 : Self.signed(key, shape, scale: 0.1)
    }

    /// Numbers on `[-scale, scale)`.
    public static func signed(_ key: String, _ shape: [Int], scale: Float = 1) -> Tensor {
        let stream = CounterStream(seed: 0, key: key)
        return Tensor(shape: shape) { values in
            for i in values.indices { values[i] = (2 * stream.uniform(at: i) - 1) * scale }
        }
    }
}

/// Base models in one file, by the formula over the original keys, as `make_models.py` gave them to diffusers' own conversion.
public enum OriginalModel {
    public struct Record: Decodable { public let prompts: [String], keys: [String: [Int]] }

    public static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures")
    public static let vocabulary = fixtures.appending(path: "tokenizers/clip").path

    public static func record(_ name: String) throws -> Record {
        try JSONDecoder().decode(Record.self, from: Data(contentsOf: fixtures.appending(path: "models/\(name).json")))
    }

    /// Calls `body` with a file's path and a folder beside it that is removed afterwards.
    public static func withFile(
        _ name: String, dtype: DType? = nil, change: (inout [String: Tensor]) -> Void = { _ in }, _ body: (String) throws -> Void
    ) throws {
        let source = FormulaWeights()
        var tensors: [String: Tensor] = [:]
        for (key, shape) in try record(name).keys { tensors[key] = try source.tensor(key, shape: shape) }
        change(&tensors)
        try write(tensors, dtype: dtype, body)
    }

    public static func write(_ tensors: [String: Tensor], dtype: DType? = nil, _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "original-\(UUID())")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.appending(path: "model.safetensors").path
        try SafetensorsWriter.write(tensors.map { ($0.key, $0.value) }, to: path, dtype: dtype)
        try body(path)
    }
}
