import TensorCore
#if canImport(Glibc)
import Glibc
#endif

/// How a prediction is held against its target: sd-scripts' loss options.
public struct Objective: Sendable, Equatable, Codable {
    public enum LossType: String, Codable, Sendable, CaseIterable { case l2, l1, huber, smoothL1 = "smooth_l1" }

    /// How Huber's threshold c follows the timestep.
    public enum HuberSchedule: String, Codable, Sendable, CaseIterable { case constant, exponential, snr }

    public var loss: LossType
    public var huberSchedule: HuberSchedule
    /// Huber's threshold at the noisiest timestep; the default is sd-scripts'.
    public var huberThreshold: Float
    public var huberScale: Float
    /// γ of min-SNR weighting (Hang et al. 2023, arXiv:2303.09556); nil for none, 5 is usual.
    public var minSNRGamma: Float?
    /// Weighs each sample by 1/√SNR (ε) or 1/(SNR+1) (v).
    public var debiasedEstimation: Bool

    public init(
        loss: LossType = .l2, huberSchedule: HuberSchedule = .snr, huberThreshold: Float = 0.1, huberScale: Float = 1,
        minSNRGamma: Float? = nil, debiasedEstimation: Bool = false
    ) {
        self.loss = loss
        self.huberSchedule = huberSchedule
        self.huberThreshold = huberThreshold
        self.huberScale = huberScale
        self.minSNRGamma = minSNRGamma
        self.debiasedEstimation = debiasedEstimation
    }

    /// What the denoiser should say. Shapes as in `NoiseSchedule.addNoise`.
    public static func target(_ schedule: NoiseSchedule, latents: Tensor, noise: Tensor, timesteps: [Int]) -> Tensor {
        switch schedule.configuration.predictionType {
        case .epsilon: noise
        case .velocity: schedule.velocity(latents, noise: noise, timesteps: timesteps)
        case .sample: latents
        }
    }

    /// - Parameters:
    ///   - prediction: the denoiser's output `[B, H, W, C]`.
    ///   - target: of the same shape.
    ///   - timesteps: B of them.
    ///   - sampleWeights: B factors on the samples' losses (regularisation pictures); nil is all 1.
    ///   - mask: `[B, H, W, 1]` factors on the elements; the mean is still over all of them.
    /// - Returns: the scalar loss: elementwise loss, mean over each sample, weights, mean over the batch.
    /// - Source: sd-scripts `train_util.conditional_loss` and `custom_train_functions`.
    public func callAsFunction(
        _ prediction: Tensor, target: Tensor, timesteps: [Int], schedule: NoiseSchedule, sampleWeights: [Float]? = nil, mask: Tensor? = nil
    ) -> Tensor {
        var elements = elementwise(prediction - target, timesteps: timesteps, schedule: schedule)
        if let mask { elements = elements * mask }
        let batch = timesteps.count
        let weights = self.weights(timesteps, schedule: schedule, sampleWeights: sampleWeights)
        if weights.allSatisfy({ $0 == 1 }) { return elements.mean() }
        let losses = elements.reshaped([batch, -1]).mean(axis: 1, keepingAxis: false)   // [B]
        return (losses * Tensor(weights, shape: [batch])).mean()
    }

    /// The factor on each sample's loss.
    package func weights(_ timesteps: [Int], schedule: NoiseSchedule, sampleWeights: [Float]?) -> [Float] {
        let isVelocity = schedule.configuration.predictionType == .velocity
        return timesteps.enumerated().map { i, t in
            var weight = sampleWeights?[i] ?? 1
            let snr = schedule.signalToNoise(t)
            if let gamma = minSNRGamma {
                // At zero terminal SNR the ε form would be 0/0; its limit is 1, and so is the weight.
                weight *= isVelocity ? min(snr, gamma) / (snr + 1) : (snr > 0 ? min(snr, gamma) / snr : 1)
            }
            if debiasedEstimation {
                let bounded = min(snr, 1000)
                weight *= isVelocity ? 1 / (bounded + 1) : 1 / bounded.squareRoot()
            }
            return weight
        }
    }

    private func elementwise(_ error: Tensor, timesteps: [Int], schedule: NoiseSchedule) -> Tensor {
        switch loss {
        case .l2: return error.square()
        case .l1: return error.absolute()
        case .huber, .smoothL1:
            let shape = [timesteps.count] + [Int](repeating: 1, count: error.rank - 1)
            let c = Tensor(timesteps.map { huberC($0, schedule: schedule) }, shape: shape)
            let distance = (error.square() + c.square()).sqrt() - c
            return loss == .huber ? distance * c * 2 : distance * 2
        }
    }

    /// c of a timestep, by `huberSchedule`.
    package func huberC(_ timestep: Int, schedule: NoiseSchedule) -> Float {
        switch huberSchedule {
        case .constant: return huberThreshold * huberScale
        case .exponential:
            return expf(logf(huberThreshold) / Float(schedule.trainTimesteps) * Float(timestep)) * huberScale
        case .snr:
            let bar = schedule.alphasCumprod[timestep]
            let sigma = ((1 - bar) / bar).squareRoot()
            return (1 - huberThreshold) / ((1 + sigma) * (1 + sigma)) + huberThreshold
        }
    }
}
