import Neural
import TensorCore

/// The whole difference of a layer's weight and bias: `ΔW = diff`, `Δb = diff_b` (LyCORIS' algorithm "full").
public struct FullDifference: WeightDifference {
    public static let kind = AdapterKind.full
    /// "diff", in the shape of the weight in files: `[out, in]` or `[out, in, k, k]`.
    public let weight: Parameter
    /// "diff_b" `[out]`.
    public let shift: Parameter?

    public var factors: [(ending: String, parameter: Parameter)] { factors([weight, shift], ["diff", "diff_b"]) }
    public var rows: Int { weight.value.shape[0] }
    public var columns: Int { weight.value.shape.dropFirst().reduce(1, *) }
    public func matrix() -> Tensor { weight.tensor.reshaped([rows, columns]) }
    public var bias: Tensor? { shift?.tensor }
    public func tensors() -> [(ending: String, tensor: Tensor)] { factors.map { ($0.ending, $0.parameter.value) } }
}
