import Checkpoints
import Foundation
import Neural
import TensorCore

extension BaseModel {
    /// Reads a folder of diffusers' layout: `model_index.json` and a folder for each part, weights in one file or in shards, in
    /// float32, float16 or bfloat16.
    static func load(folder: String, _ options: LoadOptions) throws -> BaseModel {
        let index = try ConfigurationFile.read(ModelIndex.self, folder + "/model_index.json")
        if index.components["text_encoder"] == nil, index.components["text_encoder_2"] != nil {
            throw ModelFileError.somethingElse(
                file: folder, found: "Stable Diffusion XL's refiner", wayOut: "Load the base model of the same release.")
        }
        try index.require("text_encoder", ["CLIPTextModel"], in: folder)
        try index.require("unet", ["UNet2DConditionModel"], in: folder)
        try index.require("vae", ["AutoencoderKL"], in: folder)
        let isXL = index.components["text_encoder_2"] != nil
        if isXL { try index.require("text_encoder_2", ["CLIPTextModelWithProjection"], in: folder) }
        let schedulerPath = folder + "/scheduler/scheduler_config.json"
        guard let scheduler = FileManager.default.contents(atPath: schedulerPath) else {
            throw ConfigurationError.unreadable(file: schedulerPath, reason: "there is no such file")
        }
        let progress = LoadingProgress(options)
        let textWeights = progress.watched(try WeightFolder.open(folder + "/text_encoder"), as: "text encoder")
        let secondWeights = isXL ? progress.watched(try WeightFolder.open(folder + "/text_encoder_2"), as: "second text encoder") : nil
        let unetWeights = progress.watched(try WeightFolder.open(folder + "/unet"), as: "unet")
        let autoencoder = try autoencoder(folder, options, progress)         // first: one that was named may not be there
        let text = try textPart(folder, "", textWeights, options)
        let second = try secondWeights.map { try textPart(folder, "_2", $0, options) }
        let unet = try UNet(
            configuration: ConfigurationFile.read(UNet.Configuration.self, folder + "/unet/config.json"),
            weights: Weights(unetWeights, precision: options.precision))
        let model = BaseModel(
            location: folder, text: text, secondText: second, unet: unet, autoencoder: autoencoder,
            schedulerConfiguration: scheduler, zerosForEmptyPrompt: index.zerosForEmptyPrompt ?? isXL)
        try model.requireFittingParts()
        return model
    }

    private static func textPart(_ folder: String, _ suffix: String, _ weights: any WeightFile, _ options: LoadOptions) throws -> TextPart {
        TextPart(
            tokenizer: try CLIPTokenizer(folder: "\(folder)/tokenizer\(suffix)"),
            encoder: try CLIPTextEncoder(
                configuration: ConfigurationFile.read(CLIPTextEncoder.Configuration.self, "\(folder)/text_encoder\(suffix)/config.json"),
                weights: Weights(weights, precision: options.precision)))
    }

    /// The folder's own autoencoder, or the one to use instead with the own one's scaling, which a single file does not say.
    private static func autoencoder(_ folder: String, _ options: LoadOptions, _ progress: LoadingProgress) throws -> AutoencoderKL {
        let own = folder + "/vae"
        if let other = options.vae {
            let scaling = try? ConfigurationFile.read(AutoencoderKL.Configuration.self, own + "/config.json").scalingFactor
            return try AutoencoderKL.load(path: other, scalingFactor: scaling ?? AutoencoderKL.scalingFactor, precision: options.precision)
        }
        return try AutoencoderKL(
            configuration: ConfigurationFile.read(AutoencoderKL.Configuration.self, own + "/config.json"),
            weights: Weights(progress.watched(try WeightFolder.open(own), as: "autoencoder"), precision: options.precision))
    }

    /// - Throws: `ConfigurationError.invalid` when text states, latents or ids do not fit the part that takes them.
    func requireFittingParts() throws(ConfigurationError) {
        let width = textEncoder.configuration.hiddenSize + (secondText?.encoder.configuration.hiddenSize ?? 0)
        let wanted = try unet.configuration.levels()[0].contextWidth
        guard width == wanted else {
            throw .invalid(key: "cross_attention_dim", value: "\(wanted)", expected: "\(width), the width of the text encoder")
        }
        try requireFittingAddedConditions()
        let latents = autoencoder.configuration.latentChannels
        guard unet.configuration.inChannels == latents, unet.configuration.outChannels == latents else {
            throw .unsupported(
                key: "in_channels", value: "\(unet.configuration.inChannels)",
                supported: "\(latents), the autoencoder's latent_channels; an inpainting or instruction model has more")
        }
        for part in [text, secondText].compactMap({ $0 }) where part.tokenizer.vocabularySize > part.encoder.configuration.vocabSize {
            throw .invalid(
                key: "vocab_size", value: "\(part.encoder.configuration.vocabSize)",
                expected: "\(part.tokenizer.vocabularySize) or more, the tokenizer's vocabulary")
        }
        for part in [text, secondText].compactMap({ $0 }) where part.tokenizer.modelMaxLength > part.encoder.configuration.maxPositionEmbeddings {
            throw .invalid(
                key: "max_position_embeddings", value: "\(part.encoder.configuration.maxPositionEmbeddings)",
                expected: "\(part.tokenizer.modelMaxLength) or more, the tokenizer's model_max_length")
        }
    }

    /// A second text encoder goes with a UNet that takes its pooled vector and the picture's sizes.
    private func requireFittingAddedConditions() throws(ConfigurationError) {
        let configuration = unet.configuration
        guard (configuration.additionEmbedType != nil) == (secondText != nil) else {
            throw .invalid(
                key: "addition_embed_type", value: configuration.additionEmbedType ?? "null",
                expected: secondText == nil ? "null for a model of one text encoder" : "text_time for a model of two text encoders")
        }
        guard let second = secondText?.encoder.configuration, let width = configuration.additionTimeEmbedDim else { return }
        for layers in [textEncoder.configuration.numHiddenLayers, second.numHiddenLayers] where layers < Self.layerFromEndXL {
            throw .invalid(key: "num_hidden_layers", value: "\(layers)", expected: "\(Self.layerFromEndXL) or more: the last but one is used")
        }
        let pooled = second.projects ? second.projectionDim : second.hiddenSize, wanted = pooled + SizeConditioning.count * width
        guard configuration.projectionClassEmbeddingsInputDim == wanted else {
            throw .invalid(
                key: "projection_class_embeddings_input_dim", value: "\(configuration.projectionClassEmbeddingsInputDim ?? 0)",
                expected: "\(wanted), the pooled text's width and six sizes of addition_time_embed_dim")
        }
    }

    /// Writes the model as a diffusers folder; the folder appears whole or, on an error, not at all.
    ///
    /// - Parameters:
    ///   - folder: must not exist.
    ///   - tokenizer: folder with the tokenizer's files, which are copied (and `secondTokenizer` for SDXL).
    ///   - dtype: precision of the files; nil keeps each weight's own.
    public func write(to folder: String, tokenizer: String, secondTokenizer: String? = nil, dtype: DType? = nil) throws {
        try WholeFolder.write(to: folder) { partial in
            let files = FileManager.default
            var index = ["scheduler": ["diffusers", schedulerClass]]
            try Self.write(unet.registry, unet.configuration, className: "UNet2DConditionModel", to: partial + "/unet", dtype)
            index["unet"] = ["diffusers", "UNet2DConditionModel"]
            try Self.write(autoencoder.registry, autoencoder.configuration, className: "AutoencoderKL", to: partial + "/vae", dtype)
            index["vae"] = ["diffusers", "AutoencoderKL"]
            for (part, suffix, source) in textParts(tokenizer, secondTokenizer ?? tokenizer) {
                let encoder = part.encoder, path = partial + "/text_encoder" + suffix
                try Self.write(encoder.registry, encoder.configuration, className: nil, stem: "model", to: path, dtype)
                try files.copyItem(atPath: source, toPath: partial + "/tokenizer" + suffix)
                index["text_encoder" + suffix] = ["transformers", encoder.configuration.architectures.first ?? "CLIPTextModel"]
                index["tokenizer" + suffix] = ["transformers", "CLIPTokenizer"]
            }
            try files.createDirectory(atPath: partial + "/scheduler", withIntermediateDirectories: true)
            try schedulerConfiguration.write(to: URL(fileURLWithPath: partial + "/scheduler/scheduler_config.json"))
            let pipeline = family == .sdxl ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline"
            try ConfigurationFile.write(index, className: pipeline, to: partial + "/model_index.json")
        }
    }

    /// Text parts with the suffix of their folders and the folder of their tokenizer's files.
    private func textParts(_ first: String, _ second: String) -> [(part: TextPart, suffix: String, tokenizer: String)] {
        [(text, "", first)] + (secondText.map { [($0, "_2", second)] } ?? [])
    }

    private static func write(
        _ registry: Registry, _ configuration: some Encodable, className: String?, stem: String = "diffusion_pytorch_model",
        to folder: String, _ dtype: DType?
    ) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try ConfigurationFile.write(configuration, className: className, to: folder + "/config.json")
        try registry.write(to: "\(folder)/\(stem).safetensors", dtype: dtype)
    }

    private var schedulerClass: String {
        struct Named: Decodable { let _class_name: String? }
        return (try? JSONDecoder().decode(Named.self, from: schedulerConfiguration))?._class_name ?? "DDIMScheduler"
    }
}

extension CLIPTextEncoder {
    /// Reads a folder with `config.json` and weights.
    public static func load(folder: String, precision: DType? = nil) throws -> CLIPTextEncoder {
        try CLIPTextEncoder(
            configuration: ConfigurationFile.read(Configuration.self, folder + "/config.json"),
            weights: Weights(WeightFolder.open(folder), precision: precision))
    }
}

extension AutoencoderKL {
    /// Reads a folder with `config.json` and weights.
    public static func load(folder: String, precision: DType? = nil) throws -> AutoencoderKL {
        try AutoencoderKL(
            configuration: ConfigurationFile.read(Configuration.self, folder + "/config.json"),
            weights: Weights(WeightFolder.open(folder), precision: precision))
    }
}

/// `model_index.json`: for each part the library and the class that read it.
private struct ModelIndex: Decodable {
    let components: [String: [String?]]
    /// `force_zeros_for_empty_prompt`.
    let zerosForEmptyPrompt: Bool?

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: AnyKey.self)
        var components: [String: [String?]] = [:]
        for key in container.allKeys {
            guard let pair = try? container.decode([String?].self, forKey: key), pair.contains(where: { $0 != nil }) else { continue }
            components[key.stringValue] = pair
        }
        self.components = components
        zerosForEmptyPrompt = try? container.decode(Bool.self, forKey: AnyKey("force_zeros_for_empty_prompt"))
    }

    func require(_ component: String, _ classes: [String], in folder: String) throws(ConfigurationError) {
        let found = components[component]?.last ?? nil
        guard let found, classes.contains(found) else {
            throw .unknownComponent(
                "\(component) = \(found ?? "none")", file: folder + "/model_index.json", expected: classes.joined(separator: " or "))
        }
    }
}
