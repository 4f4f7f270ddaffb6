/// Where tensors lie, and what computes on them: TensorCore's only way to arithmetic.
///
/// Conventions
/// - Arrays are contiguous and row-major; pictures are `[B, H, W, C]`. Counts, rows and strides are elements. A count of zero is legal and
///   does nothing (reductions write 0).
/// - Addresses are the device's own, made by its `pool`. What is named last is written. Outputs never overlap inputs, except that functions
///   of one element at a time may work in place.
/// - Work is queued in order and may run while the host goes on; `download` and `synchronise` wait. What is freed may be used again at once.
/// - Operands carry their type. Arithmetic is float32; sums, statistics (mean, 1/σ, logarithms of sums), losses, scalars and what a trained
///   weight needs are float32 in memory, too. The processor takes 16 bits as the right operand of `gemm`, as weights of convolutions and as
///   tables, and widens biases, scales and shifts; of anything else it demands float32.
/// - After a failure, launches do nothing and what is downloaded has no meaning, until `clearFailure`.
/// - Shapes are checked before a device is asked.
public protocol Device: AnyObject, Sendable {
    /// "cpu", "cuda:0".
    var name: String { get }
    /// This device's memory.
    var pool: MemoryPool { get }
    /// The type of activations that are made of weights alone (rows of a table): float32 on the processor.
    var activationType: DType { get }

    /// What frozen matrices and kernels are stored as here; nil for what they come as.
    var weightType: DType? { get }

    // MARK: Memory

    /// From the host's memory, which may be freed or written when this returns.
    func upload(_ byteCount: Int, from host: UnsafeRawPointer, to address: UnsafeMutableRawPointer)
    /// To the host's memory; waits until it is there.
    func download(_ byteCount: Int, from address: UnsafeRawPointer, to host: UnsafeMutableRawPointer)
    /// Within the device.
    func copy(_ byteCount: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer)
    /// Waits until all that was asked for is done.
    func synchronise()

    /// What went wrong first since it was last cleared; nil while all is well.
    var failure: DeviceFailure? { get }
    /// Makes launches work again; a device that is lost stays lost.
    func clearFailure()

    // MARK: Element-wise

    /// From one type to another, rounded to nearest even.
    func convert(_ n: Int, _ x: Elements, _ y: Elements)
    /// `y = f(x)`.
    func apply(_ f: UnaryFunction, _ n: Int, _ x: Elements, _ y: Elements)
    /// `dx = dy · f′(x)`. exp, sqrt, reciprocal, sigmoid and tanh are given `y = f(x)`; the others `x`, negate none.
    func applyBackward(_ f: UnaryFunction, _ n: Int, x: Elements?, y: Elements?, dy: Elements, dx: Elements)
    /// `y = min(max(x, low), high)`.
    func clamp(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, _ y: Elements)
    /// `dx = dy` where `low ≤ x ≤ high`, else 0.
    func clampBackward(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, dy: Elements, dx: Elements)
    /// `y = a ⊙ b`.
    func combine(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ b: Elements, _ y: Elements)
    /// `y = a ⊙ s`.
    func combineScalar(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ s: Float, _ y: Elements)
    /// `y = a ⊙ b` for any broadcast to `shape` (8 axes at most); an operand's stride is 0 along an axis that it is stretched over.
    func combineBroadcast(_ op: BinaryOperator, _ shape: [Int], _ a: Elements, _ aStrides: [Int], _ b: Elements, _ bStrides: [Int], _ y: Elements)
    /// `x` stretched to `shape`, as in `combineBroadcast`.
    func broadcast(_ shape: [Int], _ x: Elements, _ strides: [Int], _ y: Elements)
    /// `y += alpha · x`.
    func axpy(_ n: Int, _ alpha: Float, _ x: Elements, _ y: Elements)
    func fill(_ n: Int, _ value: Float, _ y: Elements)
    /// `y[r, j] = x[r, j] · gelu(x[r, n + j])` for rows `x [rows, 2n]`, with the exact GELU.
    func geglu(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements)
    func gegluBackward(_ rows: Int, _ n: Int, _ x: Elements, dy: Elements, dx: Elements)

    // MARK: Products, convolution, attention

    /// `C = alpha · op(A) · op(B) + beta · C + bias + addend`: `bias [n]`, `addend` placed like C.
    func gemm(_ p: MatrixProduct, _ a: Elements, _ b: Elements, bias: Elements?, addend: Elements?, _ c: Elements)
    /// `count` products of one form, whose operands lie their strides apart (0 shares the operand).
    func gemmBatched(_ count: Int, _ p: MatrixProduct, _ a: Elements, _ strideA: Int, _ b: Elements, _ strideB: Int, _ c: Elements, _ strideC: Int)
    /// `y = conv(x, w) + bias`, `bias [outChannels]`.
    func conv2dForward(_ c: ConvolutionSizes, _ x: Elements, _ w: Elements, bias: Elements?, _ y: Elements)
    func conv2dBackwardInput(_ c: ConvolutionSizes, _ w: Elements, dy: Elements, dx: Elements)
    func conv2dBackwardWeight(_ c: ConvolutionSizes, _ x: Elements, dy: Elements, dw: Elements, dbias: Elements?)
    /// A kernel for each channel: `taps [kernel, kernel, channels]`, `shift [channels]`. Without a gradient.
    func depthwiseConv2d(_ c: DepthwiseSizes, _ x: Elements, taps: Elements, shift: Elements, _ y: Elements)
    /// `out = softmax(scale · q kᵀ) v`; `lse [batch, heads, queries]` takes the logarithm of each row's sum of exponentials. A query that sees
    /// no key gives zeros.
    func attentionForward(_ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements)
    func attentionBackward(
        _ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements, dout: Elements,
        dq: Elements, dk: Elements, dv: Elements)

    // MARK: Reductions, to float32 in the device's memory

    /// One number: `Σ x`.
    func sum(_ n: Int, _ x: Elements, _ y: Elements)
    /// One number: `Σ a b / divisor`.
    func dot(_ n: Int, _ a: Elements, _ b: Elements, divisor: Float, _ y: Elements)
    /// `y[o, i] = Σ_j x[o, j, i]` for `x [outer, n, inner]`.
    func sumAxis(_ outer: Int, _ n: Int, _ inner: Int, _ x: Elements, _ y: Elements)
    /// One number: the largest magnitude; NaN if any element is NaN.
    func maxAbs(_ n: Int, _ x: Elements, _ y: Elements)
    /// One number: `√Σ x²` over all runs.
    func norm(_ parts: [ElementRun], _ y: Elements)

    // MARK: Softmax and normalisation over rows `[rows, n]`

    func softmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements)
    func softmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements)
    func logSoftmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements)
    func logSoftmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements)
    /// One number: the mean of `−Σ q log p` over the rows that count, of `logs = log p [rows, classes]`.
    func crossEntropy(_ c: CrossEntropySizes, logs: Elements, _ y: Elements)
    /// `dx = (p − q) dy / counted`, with one number `dy`; zeros in rows that do not count.
    func crossEntropyBackward(_ c: CrossEntropySizes, logs: Elements, dy: Elements, dx: Elements)
    /// `y = (x − mean) · rstd · scale + shift` by rows; `mean` and `rstd` `[rows]` are kept for the gradient.
    func layerNorm(
        _ rows: Int, _ n: Int, _ epsilon: Float, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements)
    /// `dx`, and `dscale`, `dshift` `[n]` where wanted.
    func layerNormBackward(
        _ rows: Int, _ n: Int, _ x: Elements, scale: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?)
    /// The same over the pixels and channels of each group; `mean` and `rstd` `[batch, groups]`, `scale` and `shift` `[channels]`.
    func groupNorm(_ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements)
    func groupNormBackward(
        _ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?)

    // MARK: Moving elements

    /// `rows` rows of `n` elements, `xRow` and `yRow` apart; of any one type.
    func copyRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int)
    /// As `copyRows`, added to `y`.
    func addRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int)
    /// Axis `i` of `y` is axis `axes[i]` of `x [shape]`; of any one type, 8 axes at most.
    func transpose(_ shape: [Int], _ axes: [Int], _ x: Elements, _ y: Elements)
    /// `y[i] = table[indices[i]]`, rows of `n`.
    func gatherRows(_ n: Int, _ table: Elements, _ indices: [Int], _ y: Elements)
    /// `table[indices[i]] += x[i]`, in order of `i`.
    func scatterAddRows(_ n: Int, _ x: Elements, _ indices: [Int], _ table: Elements)
    /// Each pixel of `x [batch, height, width, channels]` becomes 2 × 2.
    func upsample2(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, _ x: Elements, _ y: Elements)
    func upsample2Backward(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, dy: Elements, dx: Elements)

    // MARK: Training

    /// Multiplies all runs by `limit / (norm + 1e-6)`, in place, where that is below 1; `norm` is one number.
    func clip(_ parts: [ElementRun], norm: Elements, limit: Float)
    /// One step of AdamW, in place (Loshchilov and Hutter, arXiv:1711.05101, in PyTorch's order): `p −= lr λ p`, `m = β₁ m + (1−β₁) g`,
    /// `v = β₂ v + (1−β₂) g²`, `p −= lr · (m / (1−β₁ᵗ)) / (√v / √(1−β₂ᵗ) + ε)`.
    func adamW(_ n: Int, _ step: AdamWStep, gradient: Elements, weight: Elements, mean: Elements, square: Elements)
}

extension Device {
    public var weightType: DType? { nil }

    /// Asks how it went, at the end of a piece of work; the next one starts without the failure.
    public func checkFailure() throws(DeviceFailure) {
        guard let failure else { return }
        clearFailure()
        throw failure
    }
}
