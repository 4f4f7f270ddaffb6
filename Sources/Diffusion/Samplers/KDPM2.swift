import TensorCore

/// DPM-Solver-2 in σ (Karras et al. 2022, arXiv:2206.00364, appendix; Lu et al. 2022, arXiv:2206.00927), as diffusers'
/// `KDPM2DiscreteScheduler` and `KDPM2AncestralDiscreteScheduler`: half a step to the geometric mean of both levels, then the whole step
/// with the derivative found there; the last step is Euler's. Two evaluations a step but for the last.
///
/// The ancestral one aims at a lower level and adds noise up to the next: one draw for each whole step.
public struct KDPM2Sampler: Sampler {
    /// One step: from σ over the middle to `end`, then noise up.
    private struct Rung { let sigma: Float, middle: Float, end: Float, up: Float }

    private let ladder: SigmaLadder
    private let rungs: [Rung]
    private let isAncestral: Bool
    public let timesteps: [Float]
    public var initialNoiseScale: Float { ladder.initialNoiseScale }
    /// The latents before the half step that waits for its whole.
    private var pending: Tensor?

    init(_ schedule: NoiseSchedule, steps: Int, isAncestral: Bool) throws(DiffusionError) {
        let c = schedule.configuration, spacing = try LevelSpacing(c)
        let ladder = SigmaLadder(schedule, steps: steps, spacing: spacing, bounds: (c.sigmaMin, c.sigmaMax))
        let rungs = ladder.timesteps.indices.map { i in
            Self.rung(from: ladder.sigmas[i], to: ladder.sigmas[i + 1], isAncestral: isAncestral)
        }
        let table = SigmaTable(schedule)
        let whole = spacing == .karras ? ladder.timesteps.map { $0.rounded(.toNearestOrEven) } : ladder.timesteps
        timesteps = whole.indices.flatMap { i in i == 0 ? [whole[0]] : [Float(table.timestep(of: Double(rungs[i - 1].middle))), whole[i]] }
        self.ladder = ladder
        self.rungs = rungs
        self.isAncestral = isAncestral
    }

    private static func rung(from: Float, to: Float, isAncestral: Bool) -> Rung {
        let (end, up) = isAncestral ? SigmaLadder.ancestral(from: from, to: to) : (down: to, up: 0)
        guard to > 0, end > 0 else { return Rung(sigma: from, middle: 0, end: 0, up: 0) }
        let (high, low) = (Float.logarithm(from), Float.logarithm(end))
        return Rung(sigma: from, middle: Float.exponential((high + low) * 0.5), end: end, up: up)
    }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor {
        let rung = rungs[index / 2]
        return ladder.modelInput(x, sigma: index % 2 == 0 ? rung.sigma : rung.middle)
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let rung = rungs[index / 2]
        guard let start = pending else {
            if index < timesteps.count - 1 { pending = x }
            return x + ladder.derivative(x, prediction: prediction, sigma: rung.sigma) * (rung.middle - rung.sigma)
        }
        pending = nil
        let moved = start + ladder.derivative(x, prediction: prediction, sigma: rung.middle) * (rung.end - rung.sigma)
        return isAncestral ? moved + noise.draw(like: x) * rung.up : moved
    }
}
