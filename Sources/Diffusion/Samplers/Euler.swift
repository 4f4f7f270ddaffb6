import TensorCore

/// Euler's method in σ (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn), as diffusers' `EulerDiscreteScheduler`.
public struct EulerSampler: Sampler {
    private let ladder: SigmaLadder
    public var timesteps: [Float] { ladder.timesteps }
    public var initialNoiseScale: Float { ladder.initialNoiseScale }

    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration
        if c.timestepType == "continuous", c.predictionType == .velocity {
            throw .unsupportedConfiguration(key: "timestep_type", value: "continuous", supported: "discrete")
        }
        ladder = SigmaLadder(
            schedule, steps: steps, spacing: try LevelSpacing(c), bounds: (c.sigmaMin, c.sigmaMax), interpolation: c.interpolation ?? .linear,
            last: c.finalSigma ?? .zero)
    }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor { ladder.modelInput(x, index: index) }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let sigma = ladder.sigmas[index]
        return x + ladder.derivative(x, prediction: prediction, sigma: sigma) * (ladder.sigmas[index + 1] - sigma)
    }
}

/// Euler's method with fresh noise at each step, as diffusers' `EulerAncestralDiscreteScheduler`. One draw a step, the last included.
public struct EulerAncestralSampler: Sampler {
    private let ladder: SigmaLadder
    public var timesteps: [Float] { ladder.timesteps }
    public var initialNoiseScale: Float { ladder.initialNoiseScale }

    init(_ schedule: NoiseSchedule, steps: Int) { ladder = SigmaLadder(schedule, steps: steps) }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor { ladder.modelInput(x, index: index) }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let sigma = ladder.sigmas[index], (down, up) = SigmaLadder.ancestral(from: sigma, to: ladder.sigmas[index + 1])
        let moved = x + ladder.derivative(x, prediction: prediction, sigma: sigma) * (down - sigma)
        return moved + noise.draw(like: x) * up
    }
}
