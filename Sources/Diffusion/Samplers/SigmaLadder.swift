import TensorCore

/// The noise levels and timesteps of diffusers' classes that solve dx/dσ (Euler, Heun, LMS, KDPM2), and what follows from them.
struct SigmaLadder {
    let timesteps: [Float]
    /// One more than `timesteps`: the last is 0, or what is left in the end.
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let predictionType: PredictionType

    /// Class defaults where the configuration is silent: linspace (fractional timesteps), offset 0.
    /// - Parameters:
    ///   - spacing: of the levels; nil: those of the timesteps.
    ///   - bounds: the levels' ends where they are not those of the timesteps.
    ///   - last: σ after the last step.
    init(
        _ schedule: NoiseSchedule, steps: Int, spacing: LevelSpacing? = nil, bounds: (smallest: Double?, largest: Double?) = (nil, nil),
        interpolation: SigmaInterpolation = .linear, last: FinalSigma = .zero
    ) {
        let c = schedule.configuration, total = schedule.trainTimesteps
        let order = c.timestepSpacing ?? .linspace
        var spread: [Double] = switch order {
        case .linspace: Timesteps.descendingLinspace(steps, of: total).map { Double(Float($0)) }
        case .leading: Timesteps.leading(steps, ratio: total / steps, offset: c.stepsOffset ?? 0)
        case .trailing: Timesteps.trailing(steps, of: total)
        }
        let table = SigmaTable(schedule)
        var levels: [Double] = switch interpolation {
        case .linear: spread.map(table.sigma(at:))
        case .logLinear: LevelSpacing.exponential.levels(steps + 1, from: table.largest, to: table.smallest)
        }
        if let spacing {
            levels = spacing.levels(steps, from: bounds.largest ?? levels[0], to: bounds.smallest ?? levels[levels.count - 1])
            spread = levels.map(table.timestep(of:))
        }
        timesteps = spread.map { Float($0) }
        sigmas = levels.map { Float($0) } + [last == .zero ? 0 : Float(table.smallest)]
        let largest = sigmas.max() ?? 0
        initialNoiseScale = order == .leading ? (largest * largest + 1).squareRoot() : largest
        predictionType = c.predictionType
    }

    /// Latents of variance σ²+1 brought to unit variance.
    func modelInput(_ x: Tensor, sigma: Float) -> Tensor { x / (sigma * sigma + 1).squareRoot() }

    func modelInput(_ x: Tensor, index: Int) -> Tensor { modelInput(x, sigma: sigmas[index]) }

    /// The predicted x₀ at noise level σ.
    func clean(_ x: Tensor, prediction: Tensor, sigma: Float) -> Tensor {
        switch predictionType {
        case .epsilon: x - prediction * sigma
        case .velocity: prediction * (-sigma / (sigma * sigma + 1).squareRoot()) + x / (sigma * sigma + 1)
        case .sample: prediction
        }
    }

    /// dx/dσ = (x − x₀)/σ.
    func derivative(_ x: Tensor, prediction: Tensor, sigma: Float) -> Tensor {
        (x - clean(x, prediction: prediction, sigma: sigma)) / sigma
    }

    /// A step from level σ to σ′ split into noise that is left and noise that is new: σ′² = down² + up².
    static func ancestral(from: Float, to: Float) -> (down: Float, up: Float) {
        let up = (to * to * (from * from - to * to) / (from * from)).squareRoot()
        return ((to * to - up * up).squareRoot(), up)
    }
}
