import TensorCore

/// DPM-Solver++ of up to third order (Lu et al. 2022, arXiv:2211.01095, algorithm 2 and appendix) and its stochastic form, as diffusers'
/// `DPMSolverMultistepScheduler`: data prediction, in variance-preserving space; the first step is of first order, and so is a last one
/// to σ = 0. The stochastic form draws once a step, the last included.
///
/// Class defaults where the configuration is silent: linspace over steps + 1 with the last dropped, offset 0, second order, midpoint,
/// lower orders at the end of fewer than 15 steps.
public struct DPMSolverMultistepSampler: Sampler {
    /// Fewer steps than this end in lower orders.
    private static let fewSteps = 15

    public var timesteps: [Float] { ladder.timesteps }
    public let initialNoiseScale: Float = 1
    private let ladder: SolverLadder
    private let isStochastic: Bool
    private let isHeun: Bool
    private let order: Int
    /// The order of each step at most, for the end's sake.
    private let orderLimits: [Int]
    /// The predicted x₀ of the latest steps, the newest first.
    private var cleans: [Tensor] = []

    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration
        switch c.algorithmType ?? "dpmsolver++" {
        case "dpmsolver++", "deis": isStochastic = false
        case "sde-dpmsolver++": isStochastic = true
        case let other: throw .unsupportedConfiguration(key: "algorithm_type", value: other, supported: "dpmsolver++, sde-dpmsolver++")
        }
        isHeun = c.solverType == "heun"
        order = c.solverOrder ?? 2
        ladder = SolverLadder(schedule, steps: steps, spacing: try Self.spacing(c), clipped: Self.clipped(schedule))
        let count = ladder.timesteps.count
        let isLowered = (c.lowerOrderFinal ?? true) && count < Self.fewSteps
        let endsLow = c.eulerAtFinal ?? false || isLowered || c.finalSigma ?? .zero == .zero
        orderLimits = (0..<count).map { i in i == count - 1 && endsLow ? 1 : i == count - 2 && isLowered ? 2 : 3 }
    }

    private static func spacing(_ c: SchedulerConfiguration) throws(DiffusionError) -> (LevelSpacing, SolverLadder.Rounding)? {
        // The cosine schedule's timesteps are not rounded but cut to whole ones.
        let rounding: SolverLadder.Rounding = c.betaSchedule == .squaredCosine ? .down : .nearest
        switch try LevelSpacing(c) {
        case .karras: return (.karras, rounding)
        case _ where c.useLuLambdas == true: return (.lu, rounding)
        case let spacing: return spacing.map { ($0, .down) }
        }
    }

    /// One past the noisiest timestep whose λ is not below the clip.
    private static func clipped(_ schedule: NoiseSchedule) -> Int? {
        guard let clip = schedule.configuration.lambdaMinClipped else { return nil }
        return max(1, schedule.sigmas.filter { SolverLadder.Level(ratio: $0).lambda >= Float(clip) }.count)
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        cleans = Array(([ladder.clean(x, prediction: prediction, index: index)] + cleans).prefix(order))
        let fresh = isStochastic ? noise.draw(like: x) : nil
        let moved = drift(x, from: ladder.levels[index], to: ladder.levels[index + 1], index: index)
        guard let fresh else { return moved }
        let to = ladder.levels[index + 1], h = to.lambda - ladder.levels[index].lambda
        return moved + fresh * (to.sigma * (1 - Float.exponential(-2 * h)).squareRoot())
    }

    /// The step without its noise: x scaled, and x₀ with its differences (the derivatives in λ, D₁ and D₂) weighted.
    private func drift(_ x: Tensor, from: SolverLadder.Level, to: SolverLadder.Level, index: Int) -> Tensor {
        let h = to.lambda - from.lambda
        // The stochastic form is the other one at 2h, but for the factor on x.
        let reach = isStochastic ? 2 * h : h
        let decay = Float.exponential(-reach) - 1
        let scale = isStochastic ? to.sigma / from.sigma * Float.exponential(-h) : to.sigma / from.sigma
        let first = x * scale - cleans[0] * (to.alpha * decay)
        switch min(cleans.count, orderLimits[index]) {
        case 1: return first
        case 2:
            let slope = difference(0, index: index, h)
            return isHeun ? first + slope * (to.alpha * (decay / reach + 1)) : first - slope * (0.5 * (to.alpha * decay))
        default:
            let (r0, r1) = (ratio(0, index: index, h), ratio(1, index: index, h))
            let near = difference(0, index: index, h), far = difference(1, index: index, h), bend = near - far
            let slope = near + bend * (r0 / (r0 + r1)), curvature = bend * (1 / (r0 + r1))
            let weight = curvatureWeight(decay, reach)
            return first + slope * (to.alpha * (decay / reach + 1)) - curvature * (to.alpha * weight)
        }
    }

    /// `(decay + reach)/reach² − ½`. The stochastic form of diffusers has the signs of its own derivation, which are followed.
    private func curvatureWeight(_ decay: Float, _ reach: Float) -> Float {
        isStochastic ? -((-decay - reach) / (reach * reach) - 0.5) : (decay + reach) / (reach * reach) - 0.5
    }

    /// The step `age` steps back in units of the present one, in λ.
    private func ratio(_ age: Int, index: Int, _ h: Float) -> Float {
        (ladder.levels[index - age].lambda - ladder.levels[index - age - 1].lambda) / h
    }

    /// The change of x₀ over the step `age` steps back, for a step as long as the present one.
    private func difference(_ age: Int, index: Int, _ h: Float) -> Tensor {
        (cleans[age] - cleans[age + 1]) * (1 / ratio(age, index: index, h))
    }
}
