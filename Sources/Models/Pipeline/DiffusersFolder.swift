import Checkpoints
import Foundation
import Neural
import TensorCore

extension BaseModel {
    /// Reads a folder of diffusers' layout: `model_index.json` and a folder for each part, weights in one file or in shards, in
    /// float32, float16 or bfloat16.
    ///
    /// - Parameters:
    ///   - precision: converts matrices and kernels; nil keeps them as stored, which needs the least memory.
    ///   - vae: another autoencoder's folder to use instead of the model's own.
    /// - Throws: `ConfigurationError`, `CheckpointError`, `TokenizerError`, each naming its file.
    public static func load(folder: String, precision: DType? = nil, vae: String? = nil) throws -> BaseModel {
        let index = try ConfigurationFile.read(ModelIndex.self, folder + "/model_index.json")
        try index.require("text_encoder", ["CLIPTextModel"], in: folder)
        try index.require("unet", ["UNet2DConditionModel"], in: folder)
        try index.require("vae", ["AutoencoderKL"], in: folder)
        let text = try textPart(folder, "tokenizer", "text_encoder", precision)
        var second: TextPart?
        if index.components["text_encoder_2"] != nil {
            try index.require("text_encoder_2", ["CLIPTextModelWithProjection"], in: folder)
            second = try textPart(folder, "tokenizer_2", "text_encoder_2", precision)
        }
        let schedulerPath = folder + "/scheduler/scheduler_config.json"
        guard let scheduler = FileManager.default.contents(atPath: schedulerPath) else {
            throw ConfigurationError.unreadable(file: schedulerPath, reason: "there is no such file")
        }
        let unet = try UNet(
            configuration: ConfigurationFile.read(UNet.Configuration.self, folder + "/unet/config.json"),
            weights: Weights(WeightFolder.open(folder + "/unet"), precision: precision))
        let autoencoder = try AutoencoderKL.load(folder: vae ?? folder + "/vae", precision: precision)
        let model = BaseModel(
            location: folder, text: text, secondText: second, unet: unet, autoencoder: autoencoder, schedulerConfiguration: scheduler)
        try model.requireFittingParts()
        return model
    }

    private static func textPart(_ folder: String, _ tokenizer: String, _ encoder: String, _ precision: DType?) throws -> TextPart {
        let path = "\(folder)/\(encoder)"
        return TextPart(
            tokenizer: try CLIPTokenizer(folder: "\(folder)/\(tokenizer)"),
            encoder: try CLIPTextEncoder(
                configuration: ConfigurationFile.read(CLIPTextEncoder.Configuration.self, path + "/config.json"),
                weights: Weights(WeightFolder.open(path), precision: precision)))
    }

    /// - Throws: `ConfigurationError.invalid` when text states, latents or ids do not fit the part that takes them.
    private func requireFittingParts() throws(ConfigurationError) {
        let width = textEncoder.configuration.hiddenSize + (secondText?.encoder.configuration.hiddenSize ?? 0)
        let wanted = try unet.configuration.levels()[0].contextWidth
        guard width == wanted else {
            throw .invalid(key: "cross_attention_dim", value: "\(wanted)", expected: "\(width), the width of the text encoder")
        }
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

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: AnyKey.self)
        var components: [String: [String?]] = [:]
        for key in container.allKeys {
            guard let pair = try? container.decode([String?].self, forKey: key), pair.contains(where: { $0 != nil }) else { continue }
            components[key.stringValue] = pair
        }
        self.components = components
    }

    func require(_ component: String, _ classes: [String], in folder: String) throws(ConfigurationError) {
        let found = components[component]?.last ?? nil
        guard let found, classes.contains(found) else {
            throw .unknownComponent(
                "\(component) = \(found ?? "none")", file: folder + "/model_index.json", expected: classes.joined(separator: " or "))
        }
    }
}
