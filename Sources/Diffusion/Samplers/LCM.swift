import TensorCore

/// Multistep sampling of a latent consistency model (Luo et al. 2023, arXiv:2310.04378, algorithm 2), as diffusers' `LCMScheduler`: each
/// evaluation goes to x₀ and noise up to the next timestep; one draw a step but for the last.
///
/// Class defaults where the configuration is silent: a subset of 50 steps, nothing clipped.
public struct LCMSampler: Sampler {
    public let timesteps: [Float]
    public let initialNoiseScale: Float = 1
    private let schedule: NoiseSchedule
    private let limit: CleanLimit
    private let timestepScaling: Float

    /// - Throws: `DiffusionError.stepsOutOfRange` for more steps than the model was distilled on.
    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration, original = c.originalInferenceSteps ?? min(50, schedule.trainTimesteps)
        guard steps <= original else { throw .stepsOutOfRange(steps, allowed: 1...original) }
        let stride = schedule.trainTimesteps / original, share = Double(original) / Double(steps)
        timesteps = (0..<steps).map { Float((original - Int(Double($0) * share)) * stride - 1) }
        self.schedule = schedule
        limit = CleanLimit(c, clips: false, thresholds: true)
        timestepScaling = Float(c.timestepScaling ?? 10)
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let alpha = schedule.alphasCumprod[Int(timesteps[index])]
        let (signal, deviation) = (alpha.squareRoot(), (1 - alpha).squareRoot())
        let clean: Tensor = switch schedule.configuration.predictionType {
        case .epsilon: (x - prediction * deviation) / signal
        case .velocity: x * signal - prediction * deviation
        case .sample: prediction
        }
        // The boundary condition f(x, 0) = x, with σ_data = 0.5.
        let data: Float = 0.5, t = timesteps[index] * timestepScaling
        let skip = data * data / (t * t + data * data), out = t / (t * t + data * data).squareRoot()
        let denoised = limit(clean) * out + x * skip
        if index == timesteps.count - 1 { return denoised }
        let next = schedule.alphasCumprod[Int(timesteps[index + 1])]
        return denoised * next.squareRoot() + noise.draw(like: x) * (1 - next).squareRoot()
    }
}
