import TensorCore

/// Solves the reverse process on a fixed list of evaluations of the denoiser.
///
/// A value: it holds what a step needs of the steps before (multistep methods), nothing else.
public protocol Sampler {
    /// The timestep the denoiser is told at each evaluation; Euler's are fractional.
    var timesteps: [Float] { get }
    /// Factor on unit noise for the first latents.
    var initialNoiseScale: Float { get }
    /// What the denoiser is shown in place of the latents `x` at evaluation `index`.
    func modelInput(_ x: Tensor, index: Int) -> Tensor
    /// The latents after evaluation `index`.
    /// - Parameters:
    ///   - x: latents `[B, H, W, C]`.
    ///   - prediction: the denoiser's output for `modelInput(x, index)`.
    ///   - noise: fresh unit noise where the method is stochastic.
    mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor
}

extension Sampler {
    public func modelInput(_ x: Tensor, index: Int) -> Tensor { x }

    /// Draws latents: noise, then one step for each timestep.
    /// - Parameters:
    ///   - shape: `[B, H, W, C]` in latent cells.
    ///   - noise: where the start and, for stochastic methods, each step take their randomness.
    ///   - predict: the denoiser, guidance included: latents as it shall see them and a timestep in, its prediction out;
    ///     called once for each of `timesteps`. What it throws ends the sampling (an interrupt, for one).
    /// - Returns: latents `[B, H, W, C]`, scaled as the denoiser sees them.
    public func sample(
        _ shape: [Int], noise: inout LatentNoise, predict: (_ x: Tensor, _ timestep: Float) throws -> Tensor
    ) rethrows -> Tensor {
        try withoutGradients {
            var sampler = self
            var x = noise.draw(shape) * initialNoiseScale
            for (index, timestep) in timesteps.enumerated() {
                let prediction = try predict(sampler.modelInput(x, index: index), timestep)
                x = sampler.step(x, prediction: prediction, index: index, noise: &noise)
            }
            return x
        }
    }
}

/// Timesteps of a spacing as numpy computes them, before rounding to whole ones.
enum Timesteps {
    static func linspace(_ start: Double, _ stop: Double, _ n: Int) -> [Double] {
        guard n > 1 else { return [start] }
        let step = (stop - start) / Double(n - 1)
        return (0..<n).map { $0 == n - 1 ? stop : start + Double($0) * step }
    }

    /// Descending multiples of a whole ratio, shifted by the offset.
    static func leading(_ n: Int, ratio: Int, offset: Int) -> [Double] { (0..<n).reversed().map { Double($0 * ratio + offset) } }

    /// From the last timestep down in equal strides, so that the noisiest one is always visited.
    static func trailing(_ n: Int, of total: Int) -> [Double] {
        let ratio = Double(total) / Double(n)
        return (0..<n).map { (Double(total) - Double($0) * ratio).rounded(.toNearestOrEven) - 1 }
    }

    static func descendingLinspace(_ n: Int, of total: Int) -> [Double] { linspace(0, Double(total - 1), n).reversed() }
}

/// Noise levels as diffusers' sigma-space classes lay them out.
struct SigmaTable {
    private let sigmas: [Float]
    private let logs: [Float]

    init(_ schedule: NoiseSchedule) {
        sigmas = schedule.sigmas
        logs = sigmas.map { Float.logarithm($0) }
    }

    var smallest: Double { Double(sigmas[0]) }
    var largest: Double { Double(sigmas[sigmas.count - 1]) }

    /// σ at a timestep that may lie between two, linear in σ.
    func sigma(at timestep: Double) -> Double {
        let low = min(max(Int(timestep.rounded(.down)), 0), sigmas.count - 1), high = min(low + 1, sigmas.count - 1)
        let fraction = timestep - Double(low)
        return Double(sigmas[low]) + fraction * (Double(sigmas[high]) - Double(sigmas[low]))
    }

    /// The timestep of a σ, linear in log σ between table entries.
    func timestep(of sigma: Double) -> Double {
        let log = Double.logarithm(max(sigma, 1e-10))
        let above = logs.firstIndex { Double($0) > log } ?? logs.count
        let low = min(max(above - 1, 0), logs.count - 2)
        let (a, b) = (Double(logs[low]), Double(logs[low + 1]))
        let weight = min(max((a - log) / (a - b), 0), 1)
        return (1 - weight) * Double(low) + weight * Double(low + 1)
    }

    /// Karras et al. 2022 (arXiv:2206.00364, eq. 5) with ρ = 7, from the largest σ down.
    static func karras(_ n: Int, from largest: Double, to smallest: Double) -> [Double] {
        let rho = 7.0
        let (a, b) = (Double.power(largest, 1 / rho), Double.power(smallest, 1 / rho))
        return Timesteps.linspace(0, 1, n).map { Double.power(a + $0 * (b - a), rho) }
    }
}
