import TensorCore

/// The noise levels and timesteps of diffusers' multistep solvers in variance-preserving space (DPM-Solver++, UniPC).
struct SolverLadder {
    /// A noise level: `x = alpha x₀ + sigma ε`, and λ = ln(alpha/sigma), half the logarithm of the signal-to-noise ratio.
    struct Level {
        let alpha: Float, sigma: Float, lambda: Float

        /// - Parameter ratio: noise per unit of signal; 0 has λ = ∞.
        init(ratio: Float) {
            alpha = 1 / (ratio * ratio + 1).squareRoot()
            sigma = ratio * alpha
            lambda = Float.logarithm(alpha) - Float.logarithm(sigma)
        }
    }

    let timesteps: [Float]
    /// One more than `timesteps`: the last is 0, or what is left in the end.
    let levels: [Level]
    private let predictionType: PredictionType
    private let limit: CleanLimit

    /// How the timesteps of levels become whole ones.
    enum Rounding { case nearest, down }

    /// Class defaults where the configuration is silent: linspace over steps + 1 with the last dropped, offset 0.
    /// - Parameters:
    ///   - spacing: of the levels, and how their timesteps are rounded; nil: the levels of the timesteps.
    ///   - clipped: one past the noisiest timestep that is visited; nil is the end of the table.
    ///   - keepsOwnEnd: whether levels that end with noise left stay where their spacing ends, not at the table's smallest.
    init(_ schedule: NoiseSchedule, steps: Int, spacing: (LevelSpacing, Rounding)?, clipped: Int? = nil, keepsOwnEnd: Bool = false) {
        let c = schedule.configuration, total = schedule.trainTimesteps, table = SigmaTable(schedule)
        let visited = clipped ?? total
        var spread: [Double], ratios: [Double]
        if let (spacing, rounding) = spacing {
            let bounds = spacing == .lu ? (nil, nil) : (c.sigmaMin, c.sigmaMax)
            ratios = spacing.levels(steps, from: bounds.1 ?? table.largest, to: bounds.0 ?? table.smallest)
            spread = ratios.map(table.timestep(of:)).map { $0.rounded(rounding == .nearest ? .toNearestOrEven : .down) }
        } else {
            switch c.timestepSpacing ?? .linspace {
            case .linspace:
                spread = Timesteps.descendingLinspace(steps + 1, of: visited).dropLast().map { $0.rounded(.toNearestOrEven) }
            case .leading:
                spread = Timesteps.leading(steps + 1, ratio: visited / (steps + 1), offset: c.stepsOffset ?? 0).dropLast()
            case .trailing: spread = Timesteps.trailing(steps, of: total, from: visited)
            }
            ratios = spread.map(table.sigma(at:))
        }
        let last: Double = switch c.finalSigma ?? .zero {
        case .zero: 0
        case .smallest: keepsOwnEnd && spacing != nil ? ratios[ratios.count - 1] : table.smallest
        }
        timesteps = spread.map { Float($0) }
        levels = (ratios + [last]).map { Level(ratio: Float($0)) }
        predictionType = c.predictionType
        limit = CleanLimit(c, clips: nil, thresholds: true)
    }

    /// The predicted x₀ at a level.
    func clean(_ x: Tensor, prediction: Tensor, index: Int) -> Tensor {
        let level = levels[index]
        let clean: Tensor = switch predictionType {
        case .epsilon: (x - prediction * level.sigma) / level.alpha
        case .velocity: x * level.alpha - prediction * level.sigma
        case .sample: prediction
        }
        return limit(clean)
    }
}
