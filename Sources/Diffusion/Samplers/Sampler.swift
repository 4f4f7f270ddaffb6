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
    ///   - device: where the latents lie: the denoiser's.
    ///   - predict: the denoiser, guidance included: latents as it shall see them and a timestep in, its prediction out;
    ///     called once for each of `timesteps`. What it throws ends the sampling (an interrupt, for one).
    /// - Returns: latents `[B, H, W, C]`, scaled as the denoiser sees them.
    public func sample(
        _ shape: [Int], noise: inout LatentNoise, on device: any Device = HostDevice.shared,
        predict: (_ x: Tensor, _ timestep: Float) throws -> Tensor
    ) rethrows -> Tensor {
        try withoutGradients {
            var sampler = self
            var x = noise.draw(shape).moved(to: device) * initialNoiseScale
            for (index, timestep) in timesteps.enumerated() {
                let prediction = try predict(sampler.modelInput(x, index: index), timestep)
                x = sampler.step(x, prediction: prediction, index: index, noise: &noise)
            }
            return x
        }
    }
}
