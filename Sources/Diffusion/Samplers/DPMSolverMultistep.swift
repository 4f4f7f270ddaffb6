import TensorCore

/// DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, algorithm 2), as diffusers' `DPMSolverMultistepScheduler`: data prediction,
/// midpoint, in variance-preserving space; the first step and the last are of first order.
///
/// Class defaults where the configuration is silent: linspace over steps + 1 with the last dropped, offset 0.
public struct DPMSolverMultistepSampler: Sampler {
    public let timesteps: [Float]
    public let initialNoiseScale: Float = 1
    /// One more than `timesteps`: the last is 0.
    private let sigmas: [Float]
    private let predictionType: PredictionType
    /// The predicted x₀ of the step before.
    private var previous: Tensor?

    init(_ schedule: NoiseSchedule, steps: Int, karras: Bool) {
        let c = schedule.configuration, total = schedule.trainTimesteps
        let table = SigmaTable(schedule)
        var spread: [Double], levels: [Double]
        if karras {
            levels = SigmaTable.karras(steps, from: table.largest, to: table.smallest)
            spread = levels.map { table.timestep(of: $0).rounded(.toNearestOrEven) }
        } else {
            switch c.timestepSpacing ?? .linspace {
            case .linspace:
                spread = Timesteps.descendingLinspace(steps + 1, of: total).dropLast().map { $0.rounded(.toNearestOrEven) }
            case .leading:
                spread = Timesteps.leading(steps + 1, ratio: total / (steps + 1), offset: c.stepsOffset ?? 0).dropLast()
            case .trailing: spread = Timesteps.trailing(steps, of: total)
            }
            levels = spread.map(table.sigma(at:))
        }
        timesteps = spread.map { Float($0) }
        sigmas = levels.map { Float($0) } + [0]
        predictionType = c.predictionType
    }

    /// α = 1/√(σ²+1), σ' = σα and λ = ln(α/σ') of a noise level.
    private func level(_ index: Int) -> (alpha: Float, sigma: Float, lambda: Float) {
        let alpha = 1 / (sigmas[index] * sigmas[index] + 1).squareRoot()
        let sigma = sigmas[index] * alpha
        return (alpha, sigma, Float.logarithm(alpha) - Float.logarithm(sigma))
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let from = level(index)
        let clean = self.clean(x, prediction: prediction, alpha: from.alpha, sigma: from.sigma)
        defer { previous = clean }
        if index == timesteps.count - 1 { return clean }    // σ = 0: nothing but x₀ is left
        let to = level(index + 1)
        let h = to.lambda - from.lambda
        let gain = to.alpha * (Float.exponential(-h) - 1)
        let moved = x * (to.sigma / from.sigma) - clean * gain
        guard let previous else { return moved }
        let ratio = (from.lambda - level(index - 1).lambda) / h
        return moved - (clean - previous) * (0.5 * gain / ratio)
    }

    private func clean(_ x: Tensor, prediction: Tensor, alpha: Float, sigma: Float) -> Tensor {
        switch predictionType {
        case .epsilon: (x - prediction * sigma) * (1 / alpha)
        case .velocity: x * alpha - prediction * sigma
        case .sample: prediction
        }
    }
}
