import TensorCore

/// The noise levels and timesteps of diffusers' Euler family, and what follows from them.
struct EulerLadder {
    let timesteps: [Float]
    /// One more than `timesteps`: the last is 0.
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let predictionType: PredictionType

    /// Class defaults where the configuration is silent: linspace (fractional timesteps), offset 0.
    init(_ schedule: NoiseSchedule, steps: Int, karras: Bool) {
        let c = schedule.configuration, total = schedule.trainTimesteps
        let spacing = c.timestepSpacing ?? .linspace
        var spread: [Double] = switch spacing {
        case .linspace: Timesteps.descendingLinspace(steps, of: total).map { Double(Float($0)) }
        case .leading: Timesteps.leading(steps, ratio: total / steps, offset: c.stepsOffset ?? 0)
        case .trailing: Timesteps.trailing(steps, of: total)
        }
        let table = SigmaTable(schedule)
        var levels = spread.map(table.sigma(at:))
        if karras {
            levels = SigmaTable.karras(steps, from: levels[0], to: levels[steps - 1])
            spread = levels.map(table.timestep(of:))
        }
        timesteps = spread.map { Float($0) }
        sigmas = levels.map { Float($0) } + [0]
        let largest = sigmas.max() ?? 0
        initialNoiseScale = spacing == .leading ? (largest * largest + 1).squareRoot() : largest
        predictionType = c.predictionType
    }

    /// Latents of variance σ²+1 brought to unit variance.
    func modelInput(_ x: Tensor, index: Int) -> Tensor { x * (1 / (sigmas[index] * sigmas[index] + 1).squareRoot()) }

    /// The predicted x₀ at noise level σ.
    func clean(_ x: Tensor, prediction: Tensor, sigma: Float) -> Tensor {
        switch predictionType {
        case .epsilon: x - prediction * sigma
        case .velocity: prediction * (-sigma / (sigma * sigma + 1).squareRoot()) + x * (1 / (sigma * sigma + 1))
        case .sample: prediction
        }
    }

    /// dx/dσ = (x − x₀)/σ.
    func derivative(_ x: Tensor, prediction: Tensor, sigma: Float) -> Tensor {
        (x - clean(x, prediction: prediction, sigma: sigma)) * (1 / sigma)
    }
}

/// Euler's method in σ (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn), as diffusers' `EulerDiscreteScheduler`.
public struct EulerSampler: Sampler {
    private let ladder: EulerLadder
    public var timesteps: [Float] { ladder.timesteps }
    public var initialNoiseScale: Float { ladder.initialNoiseScale }

    init(_ schedule: NoiseSchedule, steps: Int) {
        ladder = EulerLadder(schedule, steps: steps, karras: schedule.configuration.useKarrasSigmas ?? false)
    }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor { ladder.modelInput(x, index: index) }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let sigma = ladder.sigmas[index]
        return x + ladder.derivative(x, prediction: prediction, sigma: sigma) * (ladder.sigmas[index + 1] - sigma)
    }
}

/// Euler's method with fresh noise at each step, as diffusers' `EulerAncestralDiscreteScheduler`. One draw a step, the last included.
public struct EulerAncestralSampler: Sampler {
    private let ladder: EulerLadder
    public var timesteps: [Float] { ladder.timesteps }
    public var initialNoiseScale: Float { ladder.initialNoiseScale }

    init(_ schedule: NoiseSchedule, steps: Int) { ladder = EulerLadder(schedule, steps: steps, karras: false) }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor { ladder.modelInput(x, index: index) }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let from = ladder.sigmas[index], to = ladder.sigmas[index + 1]
        let up = (to * to * (from * from - to * to) / (from * from)).squareRoot()
        let down = (to * to - up * up).squareRoot()
        let moved = x + ladder.derivative(x, prediction: prediction, sigma: from) * (down - from)
        return moved + noise.draw(x.shape) * up
    }
}
