import Checkpoints
import Neural
import TensorCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Sinusoids of a number: `[sin(x·f), cos(x·f)]` with `f_i = 10000^(−i / (D/2 − shift))`, halves exchanged by `flips`
/// (Vaswani et al. 2017, arXiv:1706.03762, as diffusers' `Timesteps`).
struct SinusoidalEmbedding: Sendable {
    let width: Int
    let flips: Bool
    let frequencies: [Float]

    init(width: Int, flips: Bool, shift: Double) {
        let half = width / 2
        self.width = width
        self.flips = flips
        frequencies = (0..<half).map { exp(Float(-log(10_000.0)) * Float($0) / Float(Double(half) - shift)) }
    }

    /// - Returns: `[N, D]` for N numbers, on `device`; an odd last column is zero.
    func callAsFunction(_ numbers: [Float], on device: any Device) -> Tensor {
        let half = frequencies.count
        var values = [Float](repeating: 0, count: numbers.count * width)
        for (row, number) in numbers.enumerated() {
            for i in 0..<half {
                values[row * width + i + (flips ? half : 0)] = sin(number * frequencies[i])
                values[row * width + i + (flips ? 0 : half)] = cos(number * frequencies[i])
            }
        }
        return Tensor(values, shape: [numbers.count, width]).moved(to: device).converted(to: device.activationType)
    }
}

/// Two linear layers with an activation between them (keys "linear_1", "linear_2").
struct TimestepEmbedding: Sendable {
    let first: Linear, second: Linear
    let activation: ActivationFunction

    init(_ w: Weights, from inputs: Int, to outputs: Int, activation: ActivationFunction) throws(CheckpointError) {
        first = try Linear(w["linear_1"], inputs, outputs)
        second = try Linear(w["linear_2"], outputs, outputs)
        self.activation = activation
    }

    /// - Parameter x: `[B, Din]`. - Returns: `[B, Dout]`.
    func callAsFunction(_ x: Tensor) -> Tensor { second(activation(first(x))) }
}
