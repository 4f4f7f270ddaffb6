import Checkpoints
import Foundation
import Neural
import TensorCore

extension BaseModel {
    /// Reads a single file in the original names.
    static func load(file path: String, _ options: LoadOptions) throws -> BaseModel {
        let original = try OriginalFile(WeightFiles.open(path))
        let configurations = options.configuration
        let texts = original.texts.map { $0.weights(in: original.file) }
        let textConfigurations = try zip(original.texts, texts).enumerated().map { index, part in
            try given(CLIPTextEncoder.Configuration.self, configurations, "text_encoder" + (index == 0 ? "" : "_2")) ?? part.0.configuration(part.1)
        }
        let unetConfiguration = try given(UNet.Configuration.self, configurations, "unet") ?? derivedUNet(original, textConfigurations)
        let unetWeights = RenamedWeights(original.file, under: OriginalFile.unetPrefix, table: try .unet(unetConfiguration))
        let ownAutoencoder = options.vae == nil ? try autoencoderWeights(original) : nil
        try original.requireEveryKeyKnown(texts + [unetWeights] + [ownAutoencoder].compactMap { $0 as? RenamedWeights })

        let progress = LoadingProgress(options)
        let watchedTexts = zip(texts, ["text encoder", "second text encoder"]).map { progress.watched($0, as: $1) }
        let watchedUNet = progress.watched(unetWeights, as: "unet")
        let watchedAutoencoder = ownAutoencoder.map { progress.watched($0, as: "autoencoder") }
        let vocabulary = try vocabularyFolder(for: path, options)
        let replacement = try options.vae.map { try AutoencoderKL.load(path: $0, scalingFactor: original.scalingFactor, precision: options.precision) }
        let parts = try zip(watchedTexts, textConfigurations).enumerated().map { index, part in
            TextPart(
                tokenizer: try tokenizer(vocabulary, original.texts[index], part.1),
                encoder: try CLIPTextEncoder(configuration: part.1, weights: Weights(part.0, precision: options.precision)))
        }
        let autoencoder: AutoencoderKL
        if let watchedAutoencoder, let ownAutoencoder {
            let configuration = try given(AutoencoderKL.Configuration.self, configurations, "vae")
                ?? AutoencoderKL.Configuration(tensors: ownAutoencoder, scalingFactor: original.scalingFactor)
            autoencoder = try AutoencoderKL(configuration: configuration, weights: Weights(watchedAutoencoder, precision: options.precision))
        } else {
            autoencoder = try replacement ?? AutoencoderKL.load(path: path, scalingFactor: original.scalingFactor, precision: options.precision)
        }
        let prediction = original.prediction
        let scheduler = configurations.flatMap { FileManager.default.contents(atPath: $0 + "/scheduler/scheduler_config.json") }
        let model = BaseModel(
            location: path, family: original.family, text: parts[0], secondText: parts.count > 1 ? parts[1] : nil,
            unet: try UNet(configuration: unetConfiguration, weights: Weights(watchedUNet, precision: options.precision)), autoencoder: autoencoder,
            schedulerConfiguration: options.prediction == nil ? scheduler ?? original.schedulerConfiguration(prediction.kind)
                : original.schedulerConfiguration(options.prediction ?? prediction.kind),
            zerosForEmptyPrompt: original.family == .sdxl, notes: options.prediction == nil && scheduler == nil ? [prediction.note].compactMap { $0 } : [])
        try model.requireFittingParts()
        return model
    }

    /// A part's configuration from the folder that the caller gave.
    private static func given<Configuration: Decodable>(_ type: Configuration.Type, _ folder: String?, _ part: String) throws -> Configuration? {
        guard let folder, FileManager.default.fileExists(atPath: "\(folder)/\(part)/config.json") else { return nil }
        return try ConfigurationFile.read(type, "\(folder)/\(part)/config.json")
    }

    private static func derivedUNet(_ original: OriginalFile, _ texts: [CLIPTextEncoder.Configuration]) throws -> UNet.Configuration {
        var configuration = try UNet.Configuration(
            original: OriginalShapes(original.file, under: OriginalFile.unetPrefix), heads: original.headRule,
            pooledWidth: texts.count > 1 ? texts[1].projectionDim : nil)
        configuration.sampleSize = switch original.family {
        case .sd1: 64
        case .sd2: original.prediction.kind == .velocity ? 96 : 64
        case .sdxl: 128
        }
        return configuration
    }

    private static func autoencoderWeights(_ original: OriginalFile) throws(ModelFileError) -> any WeightFile {
        guard let weights = AutoencoderKL.weights(in: original.file) else {
            throw .missingPart("autoencoder", file: original.file.location, wayOut: "Give one as --vae, a folder or a file of the same family.")
        }
        return weights
    }

    // MARK: The tokenizer

    private static let vocabularyFiles = ["vocab.json", "merges.txt"]

    private static func vocabularyFolder(for path: String, _ options: LoadOptions) throws(ModelFileError) -> String {
        let beside = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let places = options.tokenizer.map { [$0] }
            ?? [options.configuration.map { $0 + "/tokenizer" }, beside + "/tokenizer", beside, CLIPVocabulary.folder].compactMap { $0 }
        for place in places where vocabularyFiles.allSatisfy({ FileManager.default.fileExists(atPath: "\(place)/\($0)") }) { return place }
        throw .noTokenizer(file: path, lookedIn: places)
    }

    /// All families share one vocabulary; OpenCLIP's encoders are filled up with "!", the others with the end's token.
    private static func tokenizer(
        _ folder: String, _ text: OriginalTextEncoder, _ configuration: CLIPTextEncoder.Configuration
    ) throws(TokenizerError) -> CLIPTokenizer {
        try CLIPTokenizer(
            vocabulary: folder + "/vocab.json", merges: folder + "/merges.txt", modelMaxLength: min(77, configuration.maxPositionEmbeddings),
            padToken: text.naming == .openCLIP ? "!" : CLIPTokenizer.endToken)
    }
}
