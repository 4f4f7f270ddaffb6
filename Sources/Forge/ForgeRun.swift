import Diffusion
import Foundation
import Imaging
import Models
import Neural
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

    public func render() throws {
        for manner in PictureStore.Manner.allCases {
            try PictureStore.render(manner, recipe, to: workshop.picturesPath(manner), log: log)
        }
    }

    /// Fills the workshop with networks of a packaged model, each counting as trained, and with its tokenizer, so that they can be
    /// trained on where their states are no longer at hand.
    public func reopen(_ networks: [Network], from folder: String) throws {
        let files = FileManager.default, base = try BaseModel.load(folder: folder)
        if !workshop.exists(workshop.tokenizerPath) { try files.copyItem(atPath: folder + "/tokenizer", toPath: workshop.tokenizerPath) }
        if networks.contains(.captioner), !workshop.exists(workshop.captionerVocabularyPath) {
            try files.copyItem(atPath: folder + "/captioner/vocab.txt", toPath: workshop.captionerVocabularyPath)
        }
        for network in networks {
            switch network {
            case .autoencoder:
                try reopen(AutoencoderStage(recipe, pictures: nil), from: base.autoencoder.registry.parameters.map { ($0.key, $0.parameter) })
            case .decoder: try reopen(DecoderStage(recipe, refining: base.autoencoder, pictures: nil), from: [])
            case .denoiser:
                let weights = DenoiserStage.parameters(unet: base.unet, textEncoder: base.textEncoder)
                try reopen(DenoiserStage(recipe, tokenizer: vocabularies().clip, material: nil), from: weights)
            case .captioner:
                let packaged = try BLIPCaptioner.load(folder: folder + "/captioner").model.registry.parameters
                try reopen(CaptionerStage(recipe, tokenizer: vocabularies().captioner, material: nil), from: packaged.map { ($0.key, $0.parameter) })
            }
            log("reopen: \(network.rawValue) from \(folder)")
        }
    }

    private func reopen(_ stage: some ForgeStage, from weights: [(key: String, parameter: Parameter)]) throws {
        let values = Dictionary(uniqueKeysWithValues: weights.map { ($0.key, $0.parameter.value) })
        for (key, parameter) in stage.parameters {
            guard let value = values[key] else { continue }
            guard value.shape == parameter.value.shape else {
                throw ForgeError.otherShape(stage: stage.name, key: key, expected: parameter.value.shape, found: value.shape)
            }
            parameter.value = value.converted(to: .float32)
        }
        try StageState.finished(stage).save(to: workshop.statePath(stage.name))
    }

    /// - Parameters:
    ///   - again: begins a finished plan once more, from the weights it ended with.
    ///   - seconds: stops after this long with the state saved; nil trains to the plan's end.
    /// - Returns: whether the network's plan is done.
    @discardableResult
    public func train(_ network: Network, again: Bool = false, seconds: Double? = nil) throws -> Bool {
        let runner = StageRunner(workshop: workshop, repeatsPlan: again, timeLimit: seconds, log: log)
        let pictures = try PictureStore(.pictures, recipe, workshop: workshop)
        switch network {
        case .autoencoder: return try runner.run(AutoencoderStage(recipe, pictures: pictures))
        case .decoder:
            return try runner.run(DecoderStage(recipe, refining: trainedAutoencoder(scaled: false), pictures: pictures))
        case .denoiser:
            if !workshop.exists(workshop.latentsPath) { try cacheLatents(pictures) }
            let latents = try LatentStore(path: workshop.latentsPath)
            return try runner.run(DenoiserStage(recipe, tokenizer: vocabularies().clip, material: (pictures, latents)))
        case .captioner:
            let material = [pictures, try PictureStore(.drawn, recipe, workshop: workshop)]
            return try runner.run(CaptionerStage(recipe, tokenizer: vocabularies().captioner, material: material))
        }
    }

    // MARK: - Packaging and measuring

    /// Writes the trained model as a diffusers folder with the captioner beside it, float16. What stood there is replaced at
    /// the end, when everything has been written.
    public func package(to folder: String) throws {
        let vocabularies = try self.vocabularies(), denoiser = try trainedDenoiser(vocabularies)
        let model = BaseModel(
            location: folder, text: .init(tokenizer: vocabularies.clip, encoder: denoiser.textEncoder), unet: denoiser.unet,
            autoencoder: try trainedAutoencoder(scaled: true), schedulerConfiguration: Data(Recipe.schedulerConfiguration.utf8))
        let captioner = BLIPCaptioner(
            model: try trainedCaptioner(vocabularies), tokenizer: vocabularies.captioner, location: folder)

        let files = FileManager.default, draft = workshop.path + "/packaged"
        try? files.removeItem(atPath: draft)
        try model.write(to: draft, tokenizer: workshop.tokenizerPath, dtype: .float16)
        try captioner.write(to: draft + "/captioner", vocabulary: workshop.captionerVocabularyPath, dtype: .float16)
        if files.fileExists(atPath: folder) { try files.removeItem(atPath: folder) }
        try files.copyItem(atPath: draft, toPath: folder)
        log("package: \(folder)")
    }

    /// Measures a packaged model on unseen pictures and prompts; writes `report.json` and a sheet of icons into the workshop.
    public func evaluate(_ folder: String, pictures: Int = 200, icons: Int = 24) throws -> ForgeReport {
        let evaluation = try Evaluation(recipe, folder: folder)
        let report = try evaluation.run(pictures: pictures, log: log)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(report).write(to: URL(fileURLWithPath: workshop.path + "/report.json"))
        try drawSheet(folder, icons: icons)
        return report
    }

    /// Only the sheet of icons, for a look while the denoiser learns.
    public func drawSheet(_ folder: String, icons: Int = 24) throws {
        let path = workshop.path + "/icons.png"
        try PNG.write(Evaluation(recipe, folder: folder).sheet(icons: icons), to: path)
        log("evaluate: \(icons) generated icons in \(path)")
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
        try averaged(CaptionerStage(recipe, tokenizer: vocabularies.captioner, material: nil)).model
    }

    private func averaged<Stage: ForgeStage>(_ stage: Stage) throws -> Stage {
        try StageState.loadAverage(into: stage, from: workshop.statePath(stage.name), command: "loralab forge train \(stage.name)")
        return stage
    }
}
