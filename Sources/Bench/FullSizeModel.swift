import Adapters
import Checkpoints
import Diffusion
import Foundation
import Models
import Neural
import TensorCore
import Training

/// Stable Diffusion 1.5 or XL in its full size with random weights, as a diffusers folder in float16: what a real checkpoint asks
/// of memory and time, without having one.
enum FullSizeModel: String, CaseIterable {
    case sd15, sdxl

    /// Pixels along a side.
    var side: Int { self == .sd15 ? 512 : 1024 }

    /// Writes the model; a folder that is there already is kept.
    func write(to folder: String) throws {
        guard !FileManager.default.fileExists(atPath: folder + "/model_index.json") else { return }
        let tokenizer = folder + "-tokenizer"
        defer { try? FileManager.default.removeItem(atPath: tokenizer) }
        try CLIPVocabulary(merges: []).write(folder: tokenizer)
        let words = try CLIPTokenizer(folder: tokenizer)
        func weights(_ seed: UInt64) -> Weights { Weights(FreshWeights(seed: seed), precision: .float16) }
        let texts = try textEncoders.enumerated().map { index, configuration in
            BaseModel.TextPart(tokenizer: words, encoder: try CLIPTextEncoder(configuration: configuration, weights: weights(UInt64(index))))
        }
        let model = BaseModel(
            location: folder, text: texts[0], secondText: texts.count > 1 ? texts[1] : nil, unet: try UNet(configuration: unet, weights: weights(2)),
            autoencoder: try AutoencoderKL(configuration: autoencoder, weights: weights(3)),
            schedulerConfiguration: Data(#"{"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}"#.utf8))
        try model.write(to: folder, tokenizer: tokenizer, dtype: .float16)
    }

    private var textEncoders: [CLIPTextEncoder.Configuration] {
        var small = CLIPTextEncoder.Configuration()                                  // CLIP ViT-L/14
        (small.hiddenSize, small.intermediateSize, small.projectionDim, small.numAttentionHeads) = (768, 3072, 768, 12)
        small.eosTokenID = 513
        guard self == .sdxl else { return [small] }
        var large = small                                                           // OpenCLIP ViT-bigG/14
        (large.hiddenSize, large.intermediateSize, large.projectionDim, large.numAttentionHeads, large.numHiddenLayers) = (1280, 5120, 1280, 20, 32)
        (large.hiddenAct, large.architectures) = (.gelu, ["CLIPTextModelWithProjection"])
        return [small, large]
    }

    var unet: UNet.Configuration {
        var c = UNet.Configuration()
        c.sampleSize = .one(side / 8)
        guard self == .sdxl else {
            c.crossAttentionDim = 768
            return c
        }
        c.blockOutChannels = [320, 640, 1280]
        c.downBlockTypes = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
        c.upBlockTypes = ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]
        c.transformerLayersPerBlock = .many([1, 2, 10])
        c.attentionHeadDim = .many([5, 10, 20])
        (c.crossAttentionDim, c.useLinearProjection) = (2048, true)
        (c.additionEmbedType, c.additionTimeEmbedDim, c.projectionClassEmbeddingsInputDim) = ("text_time", 256, 2816)
        return c
    }

    private var autoencoder: AutoencoderKL.Configuration {
        var c = AutoencoderKL.Configuration()
        c.blockOutChannels = [128, 256, 512, 512]
        c.downBlockTypes = Array(repeating: "DownEncoderBlock2D", count: 4)
        c.upBlockTypes = Array(repeating: "UpDecoderBlock2D", count: 4)
        c.layersPerBlock = 2
        if self == .sdxl { c.scalingFactor = 0.13025 }
        return c
    }
}

extension BLIPCaptioner {
    /// BLIP base in its full size with random weights in float16, written once into a folder.
    static func fullSize(in folder: String) throws -> BLIPCaptioner {
        if !FileManager.default.fileExists(atPath: folder + "/config.json") {
            let words = folder + "-vocabulary.txt"
            defer { try? FileManager.default.removeItem(atPath: words) }
            let configuration = BLIP.Configuration(), special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
            try (special + (special.count..<configuration.text.vocabSize).map { "w\($0)" }).joined(separator: "\n").write(toFile: words, atomically: true, encoding: .utf8)
            let model = try BLIP(configuration: configuration, weights: Weights(FreshWeights(seed: 5), precision: .float16))
            try BLIPCaptioner(model: model, tokenizer: BERTTokenizer(vocabulary: words, added: ["[DEC]", "[ENC]"]), location: folder)
                .write(to: folder, vocabulary: words, dtype: .float16)
        }
        return try load(folder: folder)
    }
}
