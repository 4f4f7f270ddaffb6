import Checkpoints
import Neural
import TensorCore

/// Two 3×3 convolutions, each after normalisation and activation, with the timestep embedding added between them and a skip
/// around them: diffusers' `ResnetBlock2D` (arXiv:2112.10752).
struct ResnetBlock: Sendable {
    let norm1: GroupNorm, conv1: Conv2d
    let timeProjection: Linear?
    let norm2: GroupNorm, conv2: Conv2d
    let shortcut: Conv2d?
    let activation: ActivationFunction

    /// - Parameter time: width of the timestep embedding; nil for a block without one.
    init(
        _ w: Weights, from inputs: Int, to outputs: Int, time: Int?, groups: Int, epsilon: Float, activation: ActivationFunction
    ) throws(CheckpointError) {
        self.activation = activation
        norm1 = try GroupNorm(w["norm1"], groups: groups, channels: inputs, epsilon: epsilon)
        conv1 = try Conv2d(w["conv1"], inputs, outputs, kernel: 3, padding: Padding(1))
        timeProjection = if let time { try Linear(w["time_emb_proj"], time, outputs) } else { nil }
        norm2 = try GroupNorm(w["norm2"], groups: groups, channels: outputs, epsilon: epsilon)
        conv2 = try Conv2d(w["conv2"], outputs, outputs, kernel: 3, padding: Padding(1))
        shortcut = inputs == outputs ? nil : try Conv2d(w["conv_shortcut"], inputs, outputs, kernel: 1)
    }

    /// - Parameters:
    ///   - x: features `[B, H, W, Cin]`.
    ///   - time: timestep embedding after the activation, `[B, D]`.
    /// - Returns: features `[B, H, W, Cout]`.
    func callAsFunction(_ x: Tensor, time: Tensor?) -> Tensor {
        var h = conv1(norm1(x, then: activation))                       // [B, H, W, Cout]
        if let timeProjection, let time {
            let shift = timeProjection(time)                            // [B, Cout]
            h = h + shift.reshaped([shift.shape[0], 1, 1, shift.shape[1]])
        }
        h = conv2(norm2(h, then: activation))                           // [B, H, W, Cout]
        return h + (shortcut?(x) ?? x)
    }
}

extension GroupNorm {
    /// Normalisation followed by an activation; SiLU is fused.
    func callAsFunction(_ x: Tensor, then activation: ActivationFunction) -> Tensor {
        switch activation {
        case .silu, .swish: thenSiLU(x)
        default: activation(self(x))
        }
    }
}
