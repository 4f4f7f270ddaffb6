import TensorCore

/// Heun's second-order method (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn), as diffusers' `HeunDiscreteScheduler`:
/// an Euler step, then the mean of the derivatives at both ends; the last step is Euler's. Two evaluations a step but for the last.
public struct HeunSampler: Sampler {
    private let ladder: SigmaLadder
    private let limit: CleanLimit
    public let timesteps: [Float]
    public var initialNoiseScale: Float { ladder.initialNoiseScale }
    /// The latents before, and the derivative of, the Euler step that waits for its correction.
    private var pending: (x: Tensor, derivative: Tensor)?

    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration
        let ladder = SigmaLadder(schedule, steps: steps, spacing: try LevelSpacing(c), bounds: (c.sigmaMin, c.sigmaMax))
        self.ladder = ladder
        limit = CleanLimit(c, clips: false, thresholds: false)
        timesteps = ladder.timesteps.enumerated().flatMap { i, t in i == 0 ? [t] : [t, t] }
    }

    /// Which rung of the ladder an evaluation looks at: 0, 1, 1, 2, 2, …
    private func rung(_ index: Int) -> Int { (index + 1) / 2 }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor { ladder.modelInput(x, index: rung(index)) }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let rung = rung(index), sigma = ladder.sigmas[rung]
        let derivative = (x - limit(ladder.clean(x, prediction: prediction, sigma: sigma))) / sigma
        if let (start, first) = pending {
            pending = nil
            return start + (first + derivative) / 2 * (sigma - ladder.sigmas[rung - 1])
        }
        let next = ladder.sigmas[rung + 1]
        if next > 0 { pending = (x, derivative) }
        return x + derivative * (next - sigma)
    }
}
