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
    private let clipRange: Float?

    init(_ schedule: NoiseSchedule, steps: Int) {
        self.schedule = schedule
        let c = schedule.configuration, total = schedule.trainTimesteps
        stride = total / steps
        finalAlpha = c.setAlphaToOne ?? true ? 1 : schedule.alphasCumprod[0]
        clipRange = c.clipSample ?? true ? Float(c.clipSampleRange ?? 1) : nil
        let spread: [Double] = switch c.timestepSpacing ?? .leading {
        case .leading: Timesteps.leading(steps, ratio: stride, offset: c.stepsOffset ?? 0)
        case .trailing: Timesteps.trailing(steps, of: total)
        case .linspace: Timesteps.descendingLinspace(steps, of: total).map { $0.rounded(.toNearestOrEven) }
        }
        // An offset can carry the first timestep of very many steps past the table; the last entry is meant.
        timesteps = spread.map { Float(min($0, Double(total - 1))) }
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let t = Int(timesteps[index])
        let alpha = schedule.alphasCumprod[t]
        let previous = t - stride >= 0 ? schedule.alphasCumprod[t - stride] : finalAlpha
        let (signal, deviation) = (alpha.squareRoot(), (1 - alpha).squareRoot())
        var clean: Tensor, epsilon: Tensor
        switch schedule.configuration.predictionType {
        case .epsilon:
            epsilon = prediction
            clean = (x - epsilon * deviation) * (1 / signal)
        case .velocity:
            clean = x * signal - prediction * deviation
            epsilon = prediction * signal + x * deviation
        case .sample:
            clean = prediction
            epsilon = (x - clean * signal) * (1 / deviation)
        }
        if let clipRange { clean = clean.clamped(-clipRange, clipRange) }
        return clean * previous.squareRoot() + epsilon * (1 - previous).squareRoot()
    }
}
