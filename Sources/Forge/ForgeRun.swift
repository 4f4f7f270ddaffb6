import Foundation
import Models
import TensorCore

/// The forge's commands: render, train, evaluate, package. Each goes on where it was interrupted.
public struct ForgeRun {
    let recipe: Recipe
    let workshop: Workshop
    let log: (String) -> Void

    public init(_ recipe: Recipe, workshop: Workshop, log: @escaping (String) -> Void) {
        (self.recipe, self.workshop, self.log) = (recipe, workshop, log)
    }

    /// The networks in the order in which they can be trained.
    public enum Network: String, CaseIterable, Sendable { case autoencoder, denoiser, captioner }

    public func render() throws { try PictureStore.render(recipe, to: workshop.picturesPath, log: log) }

    /// - Parameter seconds: stops after this long with the state saved; nil trains to the plan's end.
    /// - Returns: whether the network's plan is done.
    @discardableResult
    public func train(_ network: Network, seconds: Double? = nil) throws -> Bool {
        let runner = StageRunner(workshop: workshop, timeLimit: seconds, log: log)
        let pictures = try PictureStore(recipe, path: workshop.picturesPath)
        switch network {
        case .autoencoder: return try runner.run(AutoencoderStage(recipe, pictures: pictures))
        case .denoiser:
            if !workshop.exists(workshop.latentsPath) { try cacheLatents(pictures) }
            let latents = try LatentStore(path: workshop.latentsPath)
            return try runner.run(DenoiserStage(recipe, tokenizer: vocabularies().clip, material: (pictures, latents)))
        case .captioner:
            return try runner.run(CaptionerStage(recipe, tokenizer: vocabularies().captioner, pictures: pictures))
        }
    }

    private func vocabularies() throws -> Vocabularies { try Vocabularies(recipe, workshop: workshop) }

    private func cacheLatents(_ pictures: PictureStore) throws {
        let model = try trainedAutoencoder()
        try LatentStore.encode(pictures, with: model, to: workshop.latentsPath, log: log)
    }

    // MARK: - What has been trained, as it will be packaged

    func trainedAutoencoder() throws -> AutoencoderKL {
        let stage = try AutoencoderStage(recipe, pictures: PictureStore(recipe, path: workshop.picturesPath))
        return try averaged(stage).model
    }

    func trainedDenoiser(_ vocabularies: Vocabularies) throws -> DenoiserStage {
        try averaged(DenoiserStage(recipe, tokenizer: vocabularies.clip, material: nil))
    }

    func trainedCaptioner(_ vocabularies: Vocabularies) throws -> BLIP {
        try averaged(CaptionerStage(recipe, tokenizer: vocabularies.captioner, pictures: nil)).model
    }

    private func averaged<Stage: ForgeStage>(_ stage: Stage) throws -> Stage {
        try StageState.loadAverage(into: stage, from: workshop.statePath(stage.name), command: "loralab forge train \(stage.name)")
        return stage
    }
}
