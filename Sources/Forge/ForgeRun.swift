import Diffusion
import Foundation
import Imaging
import Models
import Scenes
import TensorCore
import Training

/// The forge's commands: render, train, evaluate, package. Each goes on where it was interrupted.
public struct ForgeRun {
    let recipe: Recipe
    let workshop: Workshop
    let log: (String) -> Void

    public init(_ recipe: Recipe, workshop: Workshop, log: @escaping (String) -> Void) {
        (self.recipe, self.workshop, self.log) = (recipe, workshop, log)
    }

    /// The networks in the order in which they can be trained.
    public enum Network: String, CaseIterable, Sendable { case autoencoder, decoder, denoiser, captioner }

    public func render() throws { try PictureStore.render(recipe, to: workshop.picturesPath, log: log) }

    /// - Parameter seconds: stops after this long with the state saved; nil trains to the plan's end.
    /// - Returns: whether the network's plan is done.
    @discardableResult
    public func train(_ network: Network, seconds: Double? = nil) throws -> Bool {
        let runner = StageRunner(workshop: workshop, timeLimit: seconds, log: log)
        let pictures = try PictureStore(recipe, path: workshop.picturesPath)
        switch network {
        case .autoencoder: return try runner.run(AutoencoderStage(recipe, pictures: pictures))
        case .decoder:
            return try runner.run(DecoderStage(recipe, refining: trainedAutoencoder(scaled: false), pictures: pictures))
        case .denoiser:
            if !workshop.exists(workshop.latentsPath) { try cacheLatents(pictures) }
            let latents = try LatentStore(path: workshop.latentsPath)
            return try runner.run(DenoiserStage(recipe, tokenizer: vocabularies().clip, material: (pictures, latents)))
        case .captioner:
            return try runner.run(CaptionerStage(recipe, tokenizer: vocabularies().captioner, pictures: pictures))
        }
    }

    // MARK: - Measuring and packaging

    /// Measures the trained networks on unseen pictures and prompts; writes `report.json` and a sheet of icons.
    public func evaluate(pictures: Int = 200, icons: Int = 24) throws -> ForgeReport {
        let evaluation = try self.evaluation()
        let report = try evaluation.run(pictures: pictures, log: log)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(report).write(to: URL(fileURLWithPath: workshop.path + "/report.json"))
        try drawSheet(icons: icons, with: evaluation)
        return report
    }

    /// Only the sheet of icons, for a look while the denoiser learns.
    public func drawSheet(icons: Int = 24) throws { try drawSheet(icons: icons, with: evaluation()) }

    private func drawSheet(icons: Int, with evaluation: Evaluation) throws {
        let path = workshop.path + "/icons.png"
        try PNG.write(evaluation.sheet(icons: icons), to: path)
        log("evaluate: \(icons) generated icons in \(path)")
    }

    private func evaluation() throws -> Evaluation {
        let vocabularies = try self.vocabularies(), denoiser = try trainedDenoiser(vocabularies)
        let tokenizer = vocabularies.clip
        let model = DiffusionModel(
            unet: denoiser.unet, textEncoder: denoiser.textEncoder, autoencoder: try trainedAutoencoder(scaled: true),
            schedule: NoiseSchedule(try Recipe.scheduler()), name: "icons", tokenize: { tokenizer.encode($0) })
        return Evaluation(
            model: model, captioner: try trainedCaptioner(vocabularies), captionTokenizer: vocabularies.captioner, recipe: recipe)
    }

    /// Writes the model in diffusers' folder layout, float16.
    public func package(to folder: String) throws {
        let vocabularies = try self.vocabularies(), denoiser = try trainedDenoiser(vocabularies)
        try PackagedModel(
            autoencoder: trainedAutoencoder(scaled: true), denoiser: denoiser.unet, textEncoder: denoiser.textEncoder,
            captioner: trainedCaptioner(vocabularies), vocabularies: vocabularies, workshop: workshop
        ).write(to: folder)
        log("package: \(folder)")
    }

    /// Writes the demonstration's training pictures and held-out ones, in a style that the base model has not seen.
    public func renderDemo(to folder: String, heldOut: String) throws {
        try DemoDataset.write(to: folder, heldOut: heldOut)
        log("demo: \(DemoDataset.trainingCount) pictures in \(folder), \(DemoDataset.heldOutCount) held out in \(heldOut)")
    }

    private func vocabularies() throws -> Vocabularies { try Vocabularies(recipe, workshop: workshop) }

    private func cacheLatents(_ pictures: PictureStore) throws {
        let model = try trainedAutoencoder(scaled: false)
        try LatentStore.encode(pictures, with: model, to: workshop.latentsPath, log: log)
    }

    // MARK: - What has been trained, as it will be packaged

    /// - Parameter scaled: as it is used with the denoiser: with the latents' scaling factor and the refined decoder.
    private func trainedAutoencoder(scaled: Bool) throws -> AutoencoderKL {
        let scale = scaled ? try LatentStore(path: workshop.latentsPath).scale : 1
        let model = try averaged(AutoencoderStage(recipe, pictures: nil, latentScale: scale)).model
        guard scaled, workshop.exists(workshop.statePath("decoder")) else { return model }
        return try averaged(DecoderStage(recipe, refining: model, pictures: nil)).model
    }

    private func trainedDenoiser(_ vocabularies: Vocabularies) throws -> DenoiserStage {
        try averaged(DenoiserStage(recipe, tokenizer: vocabularies.clip, material: nil))
    }

    private func trainedCaptioner(_ vocabularies: Vocabularies) throws -> BLIP {
        try averaged(CaptionerStage(recipe, tokenizer: vocabularies.captioner, pictures: nil)).model
    }

    private func averaged<Stage: ForgeStage>(_ stage: Stage) throws -> Stage {
        try StageState.loadAverage(into: stage, from: workshop.statePath(stage.name), command: "loralab forge train \(stage.name)")
        return stage
    }
}
