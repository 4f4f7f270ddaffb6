/// Functions of one element: what `Device.apply` knows. Numbered as kernels number them (`cc_function`).
public enum UnaryFunction: Int32, Sendable, CaseIterable {
    case exp, log, sqrt, square, absolute, negate, reciprocal, sigmoid, tanh, relu, silu
    /// `x Φ(x)`, its approximation by tanh, and `x σ(1.702 x)`.
    case gelu, geluTanh, geluQuick
    case sin, cos
}

/// What combines two elements. Numbered as kernels number them (`cc_operator`).
public enum BinaryOperator: Int32, Sendable, CaseIterable {
    case add, subtract, multiply, divide, maximum, minimum
}

/// The form of a matrix product `C = alpha · op(A) · op(B) + beta · C`: `op(A)` is `[m, k]`, `op(B)` is `[k, n]`, `C` is `[m, n]`.
public struct MatrixProduct: Sendable {
    /// A is stored `[k, m]`, else `[m, k]`; B is stored `[n, k]`, else `[k, n]`.
    public var transposesA = false, transposesB = false
    public var m: Int, n: Int, k: Int
    /// With `beta` 0, C is not read.
    public var alpha: Float = 1, beta: Float = 0
    /// Elements from one stored row to the next.
    public var rowA: Int, rowB: Int, rowC: Int

    /// Contiguous operands, in the order in which they are stored.
    @inlinable
    public init(_ m: Int, _ n: Int, _ k: Int, transposesA: Bool = false, transposesB: Bool = false, alpha: Float = 1) {
        (self.m, self.n, self.k, self.alpha) = (m, n, k, alpha)
        (self.transposesA, self.transposesB) = (transposesA, transposesB)
        (rowA, rowB, rowC) = (transposesA ? m : k, transposesB ? k : n, n)
    }
}

/// The form of a convolution of `x [batch, height, width, channels]` with a weight `[outChannels, channels, kernelHeight, kernelWidth]`,
/// a checkpoint's order.
public struct ConvolutionSizes: Sendable {
    public var batch: Int, height: Int, width: Int, channels: Int
    public var outChannels: Int, kernelHeight: Int, kernelWidth: Int, stride: Int
    public var padding: Padding

    public var outHeight: Int { (height + padding.top + padding.bottom - kernelHeight) / stride + 1 }
    public var outWidth: Int { (width + padding.left + padding.right - kernelWidth) / stride + 1 }
}

/// The form of an attention over `heads` heads of `width` numbers side by side: queries `[batch, queries, heads · width]`, keys and values
/// `[batch, keys, heads · width]`, contiguous.
public struct AttentionSizes: Sendable {
    public var batch: Int, queries: Int, keys: Int, heads: Int, width: Int
    public var scale: Float
    /// Key `j` is visible to query `i` where `j ≤ i + causalOffset`, and everywhere for nil.
    public var causalOffset: Int?
    /// How many of its keys each row of the batch sees; nil for all.
    public var keyLengths: [Int]?
}

/// The form of a group normalisation over `[batch, pixels, channels]`.
public struct GroupNormSizes: Sendable {
    public var batch: Int, pixels: Int, channels: Int, groups: Int
    public var epsilon: Float
    /// Whether SiLU follows.
    public var appliesSiLU: Bool
}

/// The form of a cross-entropy of logits `[rows, classes]`.
public struct CrossEntropySizes: Sendable {
    public var classes: Int
    /// A class for each row; rows of `ignored` do not count.
    public var targets: [Int]
    public var ignored: Int
    /// The part of each target that is spread over all classes.
    public var labelSmoothing: Float

    public var rows: Int { targets.count }
    /// Rows that count, 1 where none does.
    public var counted: Int { max(1, targets.count { $0 != ignored }) }
}

/// The form of a convolution of each channel with a kernel of its own, `kernel` × `kernel`, that keeps the size of
/// `[batch, height, width, channels]`.
public struct DepthwiseSizes: Sendable {
    public var batch: Int, height: Int, width: Int, channels: Int, kernel: Int
}

/// The numbers of one step of AdamW; `step` counts from 1.
public struct AdamWStep: Sendable {
    public var learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float
    public var step: Int

    public init(learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, step: Int) {
        (self.learningRate, self.beta1, self.beta2) = (learningRate, beta1, beta2)
        (self.epsilon, self.weightDecay, self.step) = (epsilon, weightDecay, step)
    }
}
