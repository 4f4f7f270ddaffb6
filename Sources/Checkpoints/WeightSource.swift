import TensorCore

/// Where a model's weights come from: a file, a folder of shards, or fresh initial values.
public protocol WeightSource: AnyObject, Sendable {
    /// What to call the source in messages: a path, or a description.
    var location: String { get }
    /// The names of all tensors, sorted.
    var keys: [String] { get }
    func contains(_ key: String) -> Bool
    /// The tensor in its stored precision; `F64` comes as float32, 8-bit floats come as float16.
    /// - Throws: `missingKey`, `shapeMismatch`, `notFloatingPoint`, `truncated`.
    func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor
}
