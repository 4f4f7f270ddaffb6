import TensorCore

/// UniPC (Zhao et al. 2023, arXiv:2302.04867, algorithms 1 and 2) with data prediction, as diffusers' `UniPCMultistepScheduler`: each
/// evaluation first corrects the step that led to it, then predicts the next; the orders fall towards the end.
///
/// Class defaults where the configuration is silent: linspace over steps + 1 with the last dropped, offset 0, second order, B₂(h).
public struct UniPCSampler: Sampler {
    public var timesteps: [Float] { ladder.timesteps }
    public let initialNoiseScale: Float = 1
    private let ladder: SolverLadder
    private let order: Int
    private let lowersOrder: Bool
    private let isFirstKind: Bool
    private let uncorrected: Set<Int>
    /// The predicted x₀ of the latest steps, the newest first.
    private var cleans: [Tensor] = []
    /// The corrected latents the latest step started from, and its order.
    private var last: (x: Tensor, order: Int)?

    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration
        if c.predictX0 == false { throw .unsupportedConfiguration(key: "predict_x0", value: "false", supported: "true") }
        let spacing = try LevelSpacing(c).map { ($0, $0 == .karras ? SolverLadder.Rounding.nearest : .down) }
        ladder = SolverLadder(schedule, steps: steps, spacing: spacing, keepsOwnEnd: true)
        order = c.solverOrder ?? 2
        lowersOrder = c.lowerOrderFinal ?? true
        isFirstKind = c.solverType == "bh1"
        uncorrected = Set(c.disableCorrector ?? [])
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        let clean = ladder.clean(x, prediction: prediction, index: index)
        var x = x
        if let last, !uncorrected.contains(index - 1) { x = corrected(last.x, clean: clean, index: index, order: last.order) }
        cleans = Array(([clean] + cleans).prefix(order))
        let wanted = lowersOrder ? min(order, timesteps.count - index) : order
        let present = min(wanted, cleans.count)
        last = (x, present)
        return predicted(x, index: index, order: present)
    }

    /// UniP: from level `index` to the next.
    private func predicted(_ x: Tensor, index: Int, order: Int) -> Tensor {
        let step = Step(ladder, from: index, to: index + 1, order: order, isFirstKind: isFirstKind)
        let weights: [Float] = switch order {
        case 1: []
        case 2: [0.5]
        default: step.weights(order - 1)
        }
        let base = x * step.scale - cleans[0] * (step.alpha * step.phi)
        guard let change = self.change(step, weights) else { return base }
        return base - change * (step.alpha * step.b)
    }

    /// UniC: level `index`, from the one before, now that x₀ there is known.
    private func corrected(_ x: Tensor, clean: Tensor, index: Int, order: Int) -> Tensor {
        let step = Step(ladder, from: index - 1, to: index, order: order, isFirstKind: isFirstKind)
        let weights = order == 1 ? [0.5] : step.weights(order)
        let base = x * step.scale - cleans[0] * (step.alpha * step.phi)
        let news = (clean - cleans[0]) * weights[order - 1]
        let change = self.change(step, Array(weights.dropLast())).map { $0 + news } ?? news
        return base - change * (step.alpha * step.b)
    }

    /// Σ weight · (m_i − m₀)/r_i over the steps before; nil for none.
    private func change(_ step: Step, _ weights: [Float]) -> Tensor? {
        let terms = weights.indices.map { i in (cleans[i + 1] - cleans[0]) / step.ratios[i] * weights[i] }
        return terms.isEmpty ? nil : terms.dropFirst().reduce(terms[0], +)
    }

    /// One step's scalars, in float32 and diffusers' order: for short steps they are differences of nearly equal numbers, whose
    /// rounding is part of the method.
    private struct Step {
        let alpha: Float, scale: Float
        /// φ₁ = e^−h − 1 and B(h).
        let phi: Float, b: Float
        /// Places of the steps before in units of this one, all negative, then 1 for its end.
        let ratios: [Float]
        private let moments: [Float]

        init(_ ladder: SolverLadder, from: Int, to: Int, order: Int, isFirstKind: Bool) {
            let start = ladder.levels[from], end = ladder.levels[to]
            let h = end.lambda - start.lambda, hh = -h
            alpha = end.alpha
            scale = end.sigma / start.sigma
            phi = Float.exponentialMinusOne(hh)
            let kind = isFirstKind ? hh : phi
            b = kind
            ratios = (1..<order).map { (ladder.levels[from - $0].lambda - start.lambda) / h } + [1]
            var moment = phi / hh - 1, factorial: Float = 1
            moments = (1...order).map { i in
                let value = moment * factorial / kind
                factorial *= Float(i + 1)
                moment = moment / hh - 1 / factorial
                return value
            }
        }

        /// ρ of the first n places: Σ_j ρ_j r_j^i = moment_i for i in 0..<n.
        func weights(_ n: Int) -> [Float] {
            var rows = (0..<n).map { i in
                ratios[..<n].map { r in (0..<i).reduce(Float(1)) { power, _ in power * r } } + [moments[i]]
            }
            for column in 0..<n {
                let pivot = (column..<n).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
                rows.swapAt(column, pivot)
                for row in (column + 1)..<n {
                    let factor = rows[row][column] / rows[column][column]
                    for k in column...n { rows[row][k] -= factor * rows[column][k] }
                }
            }
            var solution = [Float](repeating: 0, count: n)
            for row in (0..<n).reversed() {
                let known = ((row + 1)..<n).reduce(Float(0)) { $0 + rows[row][$1] * solution[$1] }
                solution[row] = (rows[row][n] - known) / rows[row][row]
            }
            return solution
        }
    }
}
