import Checkpoints
import TensorCore

/// `y = x·Wᵀ + b`, with W `[out, in]` ("weight") and b `[out]` ("bias").
///
/// `adapters` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class Linear: AdaptableLayer, @unchecked Sendable {
    public let path: String
    public let weight: Parameter
    public let bias: Parameter?
    public let kind: AdaptableKind
    public var adapters: [any LayerAdapter] = []

    /// - Parameter initial: distribution of W when there is no checkpoint, b then starting at zero; nil is PyTorch's
    ///   default, `U(±1/√in)` for both.
    public init(
        _ w: Weights, _ inputs: Int, _ outputs: Int, bias hasBias: Bool = true, initial: InitialValue? = nil
    ) throws(CheckpointError) {
        path = w.path
        kind = .linear(inputs: inputs, outputs: outputs)
        weight = try w.parameter("weight", shape: [outputs, inputs], initial: initial ?? .fanIn(inputs))
        bias = hasBias ? try w.parameter("bias", shape: [outputs], initial: initial == nil ? .fanIn(inputs) : .zeros) : nil
        w.registry.add(self, at: w.path)
    }

    /// - Parameter x: `[..., in]`. - Returns: `[..., out]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        adapted(x.linear(weight.tensor, bias: bias?.tensor), for: x)
    }
}
