import Adapters
import Datasets
import Diffusion
import Models
import TensorCore

/// A latent diffusion model as training and drawing need it: a base model with its noise process.
public struct DiffusionModel: Sendable {
    public let base: BaseModel
    public let schedule: NoiseSchedule
    /// What to call the model in metadata and messages: a file's or a folder's name.
    public let name: String

    public init(_ base: BaseModel, schedule: NoiseSchedule, name: String) {
        self.base = base
        self.schedule = schedule
        self.name = name
    }

    public var unet: UNet { base.unet }
    public var textEncoder: CLIPTextEncoder { base.textEncoder }
    public var autoencoder: AutoencoderKL { base.autoencoder }

    /// Kohya's name of the family.
    public var baseVersion: String {
        switch base.family {
        case .sd1: "sd_v1"
        case .sd2: schedule.configuration.predictionType == .velocity ? "sd_v2_v" : "sd_v2"
        case .sdxl: "sdxl_base_v1-0"
        }
    }

    /// Factor from the autoencoder's latents to the denoiser's (0.18215 for Stable Diffusion 1 and 2).
    public var scalingFactor: Float { base.scalingFactor }

    /// Pixels to a latent cell, along one side; a picture's sides are multiples of it.
    public var latentScale: Int { base.scale }

    /// Layers of the text encoder, the largest clip skip there is.
    public var textLayers: Int { textEncoder.configuration.numHiddenLayers }

    /// Where the denoiser lies, and all other parts: what is given to them must lie there, too.
    public var device: any Device { unet.registry.parameters.first?.parameter.value.device ?? HostDevice.shared }

    /// Takes all parts to a device. Adapters follow when they are attached next.
    public func move(to device: any Device) {
        let texts = [base.text, base.secondText].compactMap { $0?.encoder.registry }
        for registry in texts + [unet.registry, autoencoder.registry] { registry.move(to: device) }
    }

    /// Requires that the model's files are still those that were loaded.
    /// - Throws: `ModelFileError.changed`.
    public func requireUnchanged() throws(ModelFileError) { try base.requireUnchanged() }

    /// Where adapters go.
    public var adaptable: AdaptableModel {
        AdaptableModel(unet: unet.registry, textEncoder: textEncoder.registry, textEncoder2: base.secondText?.encoder.registry)
    }

    /// The denoiser's prediction (noise or velocity) `[B, h, w, Z]` of noisy latents, one timestep, text and size for each; float32.
    ///
    /// - Parameter sizes: what SDXL is told of the pictures; other families do not look at it.
    public func predict(
        _ noisy: Tensor, timesteps: [Float], text: TextStates, sizes: [SizeConditioning], cache: ContextCache? = nil
    ) -> Tensor {
        let x = noisy.converted(to: noisy.device.activationType), added = text.pooled.map { AddedConditions(pooled: $0, sizes: sizes) }
        return unet(x, timesteps: timesteps, context: text.context, added: added, cache: cache).converted(to: .float32)
    }
}

extension DiffusionModel: LatentEncoder {
    public func moments(_ pixels: Tensor) -> (mean: Tensor, logVariance: Tensor) {
        let posterior = autoencoder.encode(pixels.moved(to: device).converted(to: device.activationType))
        return (posterior.mean.converted(to: .float32), posterior.logVariance.converted(to: .float32))
    }
}

extension SizeConditioning {
    /// What a picture to train on was and what became of it, as sd-scripts tells SDXL: the crop is the one that Stability AI's
    /// preparation would have made, 0 or more on the axis that the bucket is longer on (`get_crop_ltrb` of `train_util.py`).
    init(_ item: DatasetItem) {
        let bucket = item.placement.bucket, size = item.size
        let (width, height) = (Double(bucket.width), Double(bucket.height)), aspect = Double(size.width) / Double(size.height)
        let isBucketWider = width / height > aspect
        let resized = isBucketWider ? (width: height * aspect, height: height) : (width: width, height: width / aspect)
        self.init(
            original: (size.height, size.width), crop: (Int(((height - resized.height) / 2).rounded(.down)), Int(((width - resized.width) / 2).rounded(.down))),
            target: (bucket.height, bucket.width))
    }
}
