import TensorCore

/// Linear multistep of up to fourth order in σ (Adams–Bashforth on uneven steps), as diffusers' `LMSDiscreteScheduler`.
public struct LMSSampler: Sampler {
    private static let order = 4
    private let ladder: SigmaLadder
    public var timesteps: [Float] { ladder.timesteps }
    public var initialNoiseScale: Float { ladder.initialNoiseScale }
    /// dx/dσ of the latest steps, the newest first.
    private var derivatives: [Tensor] = []

    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration, spacing = try LevelSpacing(c)
        // This class's Karras levels keep to the timesteps' ends whatever the file bounds.
        ladder = SigmaLadder(schedule, steps: steps, spacing: spacing, bounds: spacing == .exponential ? (c.sigmaMin, c.sigmaMax) : (nil, nil))
    }

    public func modelInput(_ x: Tensor, index: Int) -> Tensor { ladder.modelInput(x, index: index) }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        derivatives.insert(ladder.derivative(x, prediction: prediction, sigma: ladder.sigmas[index]), at: 0)
        derivatives = Array(derivatives.prefix(Self.order))
        let terms = derivatives.enumerated().map { $1 * coefficient(of: $0, index: index) }
        return x + terms.dropFirst().reduce(terms[0], +)
    }

    /// ∫ of the Lagrange polynomial of the derivative `age` steps back over the step, from σ to the next σ.
    private func coefficient(of age: Int, index: Int) -> Float {
        let knots = derivatives.indices.map { Double(ladder.sigmas[index - $0]) }
        let start = knots[0], end = Double(ladder.sigmas[index + 1])
        func polynomial(_ sigma: Double) -> Double {
            knots.indices.reduce(1) { $1 == age ? $0 : $0 * (sigma - knots[$1]) / (knots[age] - knots[$1]) }
        }
        // Gauss's two points integrate a cubic exactly.
        let middle = (start + end) / 2, reach = (end - start) / 2 / 3.0.squareRoot()
        return Float((end - start) / 2 * (polynomial(middle - reach) + polynomial(middle + reach)))
    }
}
