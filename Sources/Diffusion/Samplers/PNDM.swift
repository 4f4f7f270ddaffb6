import TensorCore

/// Pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv:2202.09778), as diffusers' `PNDMScheduler`.
///
/// With `skip_prk_steps` (Stable Diffusion's configurations): linear multistep throughout, the second timestep evaluated twice, n + 1
/// evaluations. Without, the class's default: three Runge–Kutta steps of four evaluations each, then linear multistep.
/// Other class defaults where the configuration is silent: leading spacing, offset 0, ᾱ₀ after the last step.
public struct PNDMSampler: Sampler {
    public let timesteps: [Float]
    public let initialNoiseScale: Float = 1
    /// Weights of the latest predictions, the newest first, and what they are divided by, for one to four of them.
    private static let adamsBashforth: [(weights: [Float], divisor: Float)] = [([1], 1), ([3, -1], 2), ([23, -16, 5], 12), ([55, -59, 37, -9], 24)]

    private let schedule: NoiseSchedule
    private let stride: Int
    private let finalAlpha: Float
    /// Evaluations that belong to the Runge–Kutta steps.
    private let rungeKutta: Int
    /// Predictions of whole steps, the newest first.
    private var predictions: [Tensor] = []
    /// The latents that a step of several evaluations started from.
    private var start: Tensor?
    /// The weighted sum of a Runge–Kutta step's predictions so far.
    private var sum: Tensor?

    /// - Throws: `DiffusionError.stepsOutOfRange` below four steps with Runge–Kutta steps; `unsupportedConfiguration` for x₀ predictions,
    ///   which the class does not know.
    init(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) {
        let c = schedule.configuration, total = schedule.trainTimesteps
        guard c.predictionType != .sample else {
            throw .unsupportedConfiguration(key: "prediction_type", value: "sample", supported: "epsilon and v_prediction with the sampler pndm")
        }
        self.schedule = schedule
        stride = total / steps
        finalAlpha = c.setAlphaToOne ?? false ? 1 : schedule.alphasCumprod[0]
        let whole = Timesteps.whole(steps, c)
        if c.skipPRKSteps ?? false {
            rungeKutta = 0
            let evaluations = Array(whole.prefix(2)) + Array(whole.dropFirst())
            timesteps = evaluations.map { Float($0) }
        } else {
            guard steps >= 4 else { throw .stepsOutOfRange(steps, allowed: 4...total) }
            let half = stride / 2
            let evaluations = (0..<3).flatMap { i -> [Int] in
                let (start, middle, end) = (whole[i], whole[i + 1] + half, whole[i + 1])
                return [start, middle, middle, end]
            }
            rungeKutta = evaluations.count
            timesteps = (evaluations + Array(whole.dropFirst(3))).map { Float(min($0, total - 1)) }
        }
    }

    public mutating func step(_ x: Tensor, prediction: Tensor, index: Int, noise: inout LatentNoise) -> Tensor {
        index < rungeKutta ? rungeKuttaStep(x, prediction, index) : multistep(x, prediction, index)
    }

    private mutating func rungeKuttaStep(_ x: Tensor, _ prediction: Tensor, _ index: Int) -> Tensor {
        let stage = index % 4, t = Int(timesteps[index]), from = Int(timesteps[index - stage])
        if stage == 0 {
            predictions.insert(prediction, at: 0)
            start = x
        }
        let weight: Float = stage == 0 || stage == 3 ? 1 / 6 : 1 / 3
        let weighted = prediction * weight
        sum = sum.map { $0 + weighted } ?? weighted
        let end = stage % 2 == 0 ? t - stride / 2 : t
        guard stage == 3, let total = sum else { return moved(start ?? x, prediction, from: from, to: end) }
        sum = nil
        return moved(start ?? x, total, from: from, to: end)
    }

    private mutating func multistep(_ x: Tensor, _ prediction: Tensor, _ index: Int) -> Tensor {
        let t = Int(timesteps[index])
        // The second evaluation looks at where the first step led, and takes that step again with the mean of both.
        if rungeKutta == 0, index == 1 {
            return moved(start ?? x, (prediction + predictions[0]) / 2, from: min(t + stride, schedule.trainTimesteps - 1), to: t)
        }
        if index == 0 { start = x }
        predictions = [prediction] + predictions.prefix(3)
        let e = predictions
        let (weights, divisor) = Self.adamsBashforth[e.count - 1]
        let weighed = weights.indices.dropFirst().reduce(e[0] * weights[0]) { $0 + e[$1] * weights[$1] }
        let combined = weighed / divisor
        return moved(x, combined, from: t, to: t - stride)
    }

    /// The transfer between two timesteps along a prediction (eq. 9 of the paper).
    private func moved(_ x: Tensor, _ prediction: Tensor, from: Int, to: Int) -> Tensor {
        let alpha = schedule.alphasCumprod[from], next = to >= 0 ? schedule.alphasCumprod[to] : finalAlpha
        let epsilon = schedule.configuration.predictionType == .velocity ? prediction * alpha.squareRoot() + x * (1 - alpha).squareRoot() : prediction
        let denominator = alpha * (1 - next).squareRoot() + (alpha * (1 - alpha) * next).squareRoot()
        return x * (next / alpha).squareRoot() - epsilon * (next - alpha) / denominator
    }
}
