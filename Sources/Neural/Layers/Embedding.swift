import Checkpoints
import TensorCore

/// A table `[V, D]` ("weight") whose rows are looked up by index.
public struct Embedding: Sendable {
    public let weight: Parameter
    public let count: Int, width: Int

    public init(
        _ w: Weights, count: Int, width: Int, initial: InitialValue = .normal(standardDeviation: 1)
    ) throws(CheckpointError) {
        self.count = count
        self.width = width
        weight = try w.parameter("weight", shape: [count, width], initial: initial)
    }

    /// - Parameters:
    ///   - indices: row numbers, each in `0..<count`.
    ///   - shape: how the indices are laid out; its product is their number.
    /// - Returns: `[shape..., D]`.
    public func callAsFunction(_ indices: [Int], shape: [Int]) -> Tensor {
        Tensor.embedding(weight.tensor, indices, shape: shape)
    }
}
