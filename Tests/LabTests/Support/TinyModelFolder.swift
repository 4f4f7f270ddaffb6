import Foundation
import Models
import Neural

/// A base model with captioner, in diffusers' layout, of the smallest sizes that build: fresh weights of a fixed seed, about 100,000 parameters.
enum TinyModelFolder {
    /// Pixels along a side of its pictures.
    static let side = 32

    /// Written once for all tests of the process.
    static let path: String = {
        let folder = NSTemporaryDirectory() + "loralab-tiny-model-\(getpid())"
        do { try write(to: folder) } catch { preconditionFailure("the tiny model could not be written: \(error)") }
        atexit { for written in [TinyModelFolder.path, TinyModelFolder.path + "-parts"] { try? FileManager.default.removeItem(atPath: written) } }
        return folder
    }()

    private static func write(to folder: String) throws {
        let files = FileManager.default, parts = folder + "-parts"
        for path in [folder, parts] { try? files.removeItem(atPath: path) }
        try files.createDirectory(atPath: parts, withIntermediateDirectories: true)
        try CLIPVocabulary(merges: []).write(folder: parts)
        let tokenizer = try CLIPTokenizer(folder: parts)
        let scheduler =
            #"{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": false, "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": false, "steps_offset": 1}"#
        let model = BaseModel(
            location: folder, text: .init(tokenizer: tokenizer, encoder: try textEncoder(vocabulary: tokenizer.vocabularySize)), unet: try denoiser(),
            autoencoder: try autoencoder(), schedulerConfiguration: Data(scheduler.utf8))
        try model.write(to: folder, tokenizer: parts)
        let words = "\(parts)/captioner-vocabulary.txt"
        try text(captionerTokens.joined(separator: "\n") + "\n", words)
        let captioner = BLIPCaptioner(model: try blip(), tokenizer: try BERTTokenizer(vocabulary: words, added: ["[DEC]", "[ENC]"]), location: folder)
        try captioner.write(to: "\(folder)/captioner", vocabulary: words)
    }

    private static func text(_ text: String, _ path: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }

    private static func denoiser() throws -> UNet {
        var unet = UNet.Configuration()
        unet.sampleSize = .one(16)
        unet.blockOutChannels = [16, 32]
        unet.normNumGroups = 8
        unet.layersPerBlock = .one(1)
        unet.attentionHeadDim = .one(2)
        unet.crossAttentionDim = .one(16)
        unet.downBlockTypes = ["CrossAttnDownBlock2D", "DownBlock2D"]
        unet.upBlockTypes = ["UpBlock2D", "CrossAttnUpBlock2D"]
        return try UNet(configuration: unet, weights: Weights(FreshWeights(seed: 1)))
    }

    private static func autoencoder() throws -> AutoencoderKL {
        var vae = AutoencoderKL.Configuration()
        vae.blockOutChannels = [8, 8]
        vae.normNumGroups = 4
        vae.layersPerBlock = 1
        vae.downBlockTypes = ["DownEncoderBlock2D", "DownEncoderBlock2D"]
        vae.upBlockTypes = ["UpDecoderBlock2D", "UpDecoderBlock2D"]
        return try AutoencoderKL(configuration: vae, weights: Weights(FreshWeights(seed: 2)))
    }

    private static func textEncoder(vocabulary: Int) throws -> CLIPTextEncoder {
        var configuration = CLIPTextEncoder.Configuration()
        configuration.vocabSize = vocabulary
        configuration.eosTokenID = vocabulary - 1
        configuration.hiddenSize = 16
        configuration.intermediateSize = 32
        configuration.numHiddenLayers = 2
        configuration.numAttentionHeads = 2
        return try CLIPTextEncoder(configuration: configuration, weights: Weights(FreshWeights(seed: 3)))
    }

    private static let captionerTokens =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "cube", "torus", "style", "on", "white", ",", ".", "[DEC]", "[ENC]"]

    private static func blip() throws -> BLIP {
        var configuration = BLIP.Configuration()
        configuration.vision.hiddenSize = 16
        configuration.vision.intermediateSize = 32
        configuration.vision.numHiddenLayers = 1
        configuration.vision.numAttentionHeads = 2
        configuration.vision.imageSize = 32
        configuration.text.vocabSize = captionerTokens.count
        configuration.text.hiddenSize = 16
        configuration.text.encoderHiddenSize = 16
        configuration.text.intermediateSize = 32
        configuration.text.numHiddenLayers = 1
        configuration.text.numAttentionHeads = 2
        configuration.text.maxPositionEmbeddings = 32
        configuration.text.bosTokenID = captionerTokens.count - 2
        configuration.text.sepTokenID = 3
        return try BLIP(configuration: configuration, weights: Weights(FreshWeights(seed: 4)))
    }
}
