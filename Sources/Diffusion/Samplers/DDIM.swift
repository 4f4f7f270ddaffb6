import TensorCore

/// Denoising diffusion implicit models with η = 0 (Song et al. 2020, arXiv:2010.02502, eq. 12), as diffusers' `DDIMScheduler`.
///
/// Class defaults where the configuration is silent: leading spacing, offset 0, ᾱ = 1 after the last step, predicted x₀ clipped to ±1.
/// (That clipping is what washes out sd-scripts' own `ddim` samples; Stable Diffusion's configurations turn it off.)
public struct DDIMSampler: Sampler {
    public let timesteps: [Float]
    public let initialNoiseScale: Float = 1
    private let schedule: NoiseSchedule
    private let stride: Int
    private let finalAlpha: Float
    private let limit: CleanLimit

    init(_ schedule: NoiseSchedule, steps: Int) {
        let c = schedule.configuration
        self.schedule = schedule
        stride = schedule.trainTimesteps / steps
        finalAlpha = c.setAlphaToOne ?? true ? 1 : schedule.alphasCumprod[0]
        limit = CleanLimit(c, clips: true, thresholds: true)
        timesteps = Timesteps.whole(steps, c).map { Float($0) }
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let t = Int(timesteps[index])
        let alpha = schedule.alphasCumprod[t]
        let previous = t - stride >= 0 ? schedule.alphasCumprod[t - stride] : finalAlpha
        let (signal, deviation) = (alpha.squareRoot(), (1 - alpha).squareRoot())
        let clean: Tensor, epsilon: Tensor
        switch schedule.configuration.predictionType {
        case .epsilon:
            epsilon = prediction
            clean = (x - epsilon * deviation) / signal
        case .velocity:
            clean = x * signal - prediction * deviation
            epsilon = prediction * signal + x * deviation
        case .sample:
            clean = prediction
            epsilon = (x - clean * signal) / deviation
        }
        return limit(clean) * previous.squareRoot() + epsilon * (1 - previous).squareRoot()
    }
}
