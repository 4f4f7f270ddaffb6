import Datasets
import Diffusion
import Models
import TensorCore

extension Trainer {
    /// Timesteps at which the held-out loss is measured, as fractions of the schedule: inner points of its range (sd-scripts' validation).
    private static let evaluationFractions: [Double] = [0.2, 0.4, 0.6, 0.8]
    /// Seed of the evaluation's noise: fixed, so that runs can be compared with each other.
    private static let evaluationSeed: UInt64 = 20_240_601

    /// The mean squared error over the held-out pictures at fixed timesteps with fixed noise, as the model is adapted now.
    /// - Parameter progress: pictures done and in all; what it throws ends the measurement.
    /// - Returns: nil when there are no held-out pictures.
    public func measureHeldOutLoss(progress: (Int, Int) throws -> Void = { _, _ in }) throws -> Float? {
        guard let heldOut else { return nil }
        if heldOutLatents.count < heldOut.items.count { try heldOutLatents.fill(heldOut, encoder: model, seed: nil) { _, _ in } }
        let timesteps = Self.evaluationFractions.map { Int($0 * Double(model.schedule.trainTimesteps)) }
        var total = 0.0
        for (index, item) in heldOut.items.enumerated() {
            guard let latent = heldOutLatents[index] else { preconditionFailure("no latent for \(item.path)") }
            total += withoutGradients { Double(loss(of: latent, item, timesteps: timesteps, seed: Self.evaluationSeed + UInt64(index))) }
            try progress(index + 1, heldOut.items.count)
        }
        try model.requireUnchanged()
        let mean = Float(total / Double(heldOut.items.count))
        guard mean.isFinite else { throw TrainingError.notFinite(what: "the held-out loss", step: position.step) }
        return mean
    }

    /// One picture at all timesteps, as a batch.
    private func loss(of latent: Tensor, _ item: DatasetItem, timesteps: [Int], seed: UInt64) -> Float {
        var generator = TorchGenerator(seed: seed)
        let count = timesteps.count
        let clean = Tensor.concatenated(Array(repeating: latent.moved(to: model.device) * model.scalingFactor, count: count), axis: 0)
        let noise = Tensor.latentNoise(clean.shape, generator: &generator).moved(to: clean.device)
        let text = self.text([item.caption])
        let prediction = model.predict(
            model.schedule.addNoise(clean, noise: noise, timesteps: timesteps), timesteps: timesteps.map(Float.init),
            text: TextStates(Array(repeating: text, count: count)), sizes: Array(repeating: SizeConditioning(item), count: count))
        let target = Objective.target(model.schedule, latents: clean, noise: noise, timesteps: timesteps)
        return Objective()(prediction, target: target, timesteps: timesteps, schedule: model.schedule).item()
    }
}
