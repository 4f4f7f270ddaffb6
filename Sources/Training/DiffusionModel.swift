import Adapters
import Datasets
import Diffusion
import Models
import TensorCore

/// A latent diffusion model as training and drawing need it: text encoder, denoiser, autoencoder and the noise process.
public struct DiffusionModel: Sendable {
    public let unet: UNet
    public let textEncoder: CLIPTextEncoder
    public let autoencoder: AutoencoderKL
    public let schedule: NoiseSchedule
    /// A text's token ids, begin and end included, padded and cut to the encoder's length.
    public let tokenize: @Sendable (String) -> [Int]
    /// What to call the model in metadata and messages: a file's or a folder's name.
    public let name: String
    /// Kohya's name of the family: `sd_v1`, `sd_v2`, `sd_v2_v`.
    public let baseVersion: String

    public init(
        unet: UNet, textEncoder: CLIPTextEncoder, autoencoder: AutoencoderKL, schedule: NoiseSchedule, name: String, baseVersion: String = "sd_v1",
        tokenize: @escaping @Sendable (String) -> [Int]
    ) {
        self.unet = unet
        self.textEncoder = textEncoder
        self.autoencoder = autoencoder
        self.schedule = schedule
        self.name = name
        self.baseVersion = baseVersion
        self.tokenize = tokenize
    }

    /// Factor from the autoencoder's latents to the denoiser's (0.18215 for Stable Diffusion 1 and 2).
    public var scalingFactor: Float { Float(autoencoder.configuration.scalingFactor) }

    /// Pixels to a latent cell, along one side.
    public var latentScale: Int { autoencoder.configuration.scale }

    /// A picture's sides must be multiples of this, pixels: the denoiser halves the latents once between its levels.
    public var sizeMultiple: Int { latentScale << (unet.configuration.blockOutChannels.count - 1) }

    /// Layers of the text encoder, the largest clip skip there is.
    public var textLayers: Int { textEncoder.configuration.numHiddenLayers }

    /// Where adapters go.
    public var adaptable: AdaptableModel { AdaptableModel(unet: unet.registry, textEncoder: textEncoder.registry) }

    /// Text states `[B, T, D]`.
    public func encode(_ texts: [String], clipSkip: Int?) -> Tensor {
        textEncoder.encode(texts.map(tokenize), clipSkip: clipSkip)
    }
}

extension DiffusionModel: LatentEncoder {
    public func moments(_ pixels: Tensor) -> (mean: Tensor, logVariance: Tensor) {
        let posterior = autoencoder.encode(pixels)
        return (posterior.mean, posterior.logVariance)
    }
}
