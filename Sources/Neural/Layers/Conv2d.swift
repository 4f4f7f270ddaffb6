import Checkpoints
import TensorCore

/// Two-dimensional cross-correlation over `[B, H, W, C]` with a square kernel; "weight" is `[Cout, Cin, k, k]`, "bias" `[Cout]`.
///
/// `adapters` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class Conv2d: AdaptableLayer, @unchecked Sendable {
    public let path: String
    public let weight: Parameter
    public let bias: Parameter?
    public let kind: AdaptableKind
    public var adapters: [any LayerAdapter] = []
    private let stride: Int
    private let padding: Padding

    /// - Parameters:
    ///   - padding: zeros added on the four sides.
    ///   - initial: distribution of the kernel when there is no checkpoint, the bias then starting at zero; nil is
    ///     PyTorch's default, `U(±1/√(k·k·Cin))` for both.
    public init(
        _ w: Weights, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, padding: Padding = Padding(0),
        bias hasBias: Bool = true, initial: InitialValue? = nil
    ) throws(CheckpointError) {
        let fanIn = InitialValue.fanIn(inputs * kernel * kernel)
        path = w.path
        self.stride = stride
        self.padding = padding
        kind = .convolution(inputs: inputs, outputs: outputs, kernel: kernel, stride: stride, padding: padding)
        weight = try w.parameter("weight", shape: [outputs, inputs, kernel, kernel], initial: initial ?? fanIn)
        bias = hasBias ? try w.parameter("bias", shape: [outputs], initial: initial == nil ? fanIn : .zeros) : nil
        w.registry.add(self, at: w.path)
    }

    /// - Parameter x: `[B, H, W, Cin]`. - Returns: `[B, H', W', Cout]`, `H' = (H + top + bottom − k) / stride + 1`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        adapted(x.conv2d(weight.tensor, bias: bias?.tensor, stride: stride, padding: padding), for: x)
    }
}
