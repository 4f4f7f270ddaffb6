import TensorCore

/// Activations by the names that configuration files use.
public enum ActivationFunction: String, Codable, Sendable, CaseIterable {
    case silu, swish, relu, gelu
    /// `x · sigmoid(1.702 x)`, OpenAI CLIP's.
    case quickGELU = "quick_gelu"
    /// `x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))`.
    case newGELU = "gelu_new"
    case tanhGELU = "gelu_pytorch_tanh"

    public func callAsFunction(_ x: Tensor) -> Tensor {
        switch self {
        case .silu, .swish: x.silu()
        case .relu: x.relu()
        case .gelu: x.gelu(.exact)
        case .quickGELU: x.gelu(.quick)
        case .newGELU, .tanhGELU: x.gelu(.tanh)
        }
    }
}
