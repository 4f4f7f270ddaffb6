/// How a parameter starts when no checkpoint supplies it.
public enum InitialValue: Sendable, Equatable {
    case constant(Float)
    /// Uniform on `[-bound, bound)`.
    case uniform(bound: Float)
    /// Normal with mean 0.
    case normal(standardDeviation: Float)

    public static let zeros = InitialValue.constant(0)
    public static let ones = InitialValue.constant(1)

    /// PyTorch's default for linear and convolution weights and biases: `U(-1/√fanIn, 1/√fanIn)`.
    ///
    /// - Parameter fanIn: inputs that reach one output (kernel height × width × channels for a convolution).
    public static func fanIn(_ fanIn: Int) -> InitialValue { .uniform(bound: 1 / Float(max(fanIn, 1)).squareRoot()) }
}
