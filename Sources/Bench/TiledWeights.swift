import Checkpoints
import Neural
import TensorCore

/// Random weights of a full-size model within a second or two: one table of uniform numbers, read from a place that the key gives.
///
/// Nothing is learnt from such a model but its time and memory; deviations are those that were asked for, so that numbers stay in range.
final class TiledWeights: InitializingSource {
    private static let size = 1 << 20
    /// Uniform on ±√3, hence of unit variance.
    private let table: [Float]

    init() {
        let stream = CounterStream(seed: 7, key: "tile")
        table = (0..<Self.size).map { (2 * stream.uniform(at: $0) - 1) * 1.7320508 }
    }

    func contains(_ key: String) -> Bool { false }
    var keys: [String] { [] }
    var files: [MappedFile] { [] }
    var location: String { "a table of random numbers" }

    func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        tensor(key, shape: shape, initial: shape.count > 1 ? .fanIn(shape.dropFirst().reduce(1, *)) : .zeros)
    }

    func tensor(_ key: String, shape: [Int], initial: InitialValue) -> Tensor {
        switch initial {
        case .constant(let value): Tensor(shape: shape) { $0.update(repeating: value) }
        case .uniform(let bound): tiled(key, shape, bound / 1.7320508)
        case .normal(let deviation): tiled(key, shape, deviation)
        }
    }

    private func tiled(_ key: String, _ shape: [Int], _ factor: Float) -> Tensor {
        var place = key.utf8.reduce(5381) { ($0 &* 33 &+ Int($1)) & (Self.size - 1) }
        return Tensor(shape: shape) { values in
            table.withUnsafeBufferPointer { table in
                var done = 0
                while done < values.count {
                    let length = min(values.count - done, Self.size - place)
                    for i in 0..<length { values[done + i] = table[place + i] * factor }
                    (done, place) = (done + length, 0)
                }
            }
        }
    }
}
