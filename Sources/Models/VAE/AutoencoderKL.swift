import Checkpoints
import Neural
import TensorCore

/// The KL-regularised autoencoder between pictures and latents: diffusers' `AutoencoderKL` (arXiv:2112.10752).
///
/// `recomputes` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class AutoencoderKL: @unchecked Sendable {
    public let configuration: Configuration
    public let registry: Registry
    /// Whether the backward pass recomputes each block instead of keeping its intermediate values.
    public var recomputes = false

    let encoder: PixelEncoder, decoder: PixelDecoder
    let quant: Conv2d?, postQuant: Conv2d?

    /// - Throws: `ConfigurationError` for parts that are not built here; `CheckpointError` for missing keys and other shapes.
    public init(configuration: Configuration, weights w: Weights) throws {
        try configuration.validate()
        let latents = configuration.latentChannels
        self.configuration = configuration
        registry = w.registry
        encoder = try PixelEncoder(w["encoder"], configuration)
        decoder = try PixelDecoder(w["decoder"], configuration)
        quant = configuration.useQuantConv ? try Conv2d(w["quant_conv"], 2 * latents, 2 * latents, kernel: 1) : nil
        postQuant = configuration.usePostQuantConv ? try Conv2d(w["post_quant_conv"], latents, latents, kernel: 1) : nil
        try w.requireEveryKeyUsed()
    }

    /// - Parameter pixels: `[B, H, W, 3]` in -1...1, H and W multiples of `configuration.scale`.
    /// - Returns: the distribution of the unscaled latents `[B, h, w, Z]`.
    public func encode(_ pixels: Tensor) -> DiagonalGaussian {
        var moments = encoder(pixels, recomputes: recomputes)            // [B, h, w, 2Z]
        if let quant { moments = quant(moments) }
        let parts = moments.split(axis: 3, sizes: [configuration.latentChannels, configuration.latentChannels])
        return DiagonalGaussian(mean: parts[0], logVariance: parts[1].clamped(-30, 20))
    }

    /// - Parameter latents: `[B, h, w, Z]`, unscaled.
    /// - Returns: pixels `[B, H, W, 3]`, about -1...1.
    public func decode(_ latents: Tensor) -> Tensor {
        decoder(postQuant?(latents) ?? latents, recomputes: recomputes)
    }
}

/// A normal distribution for each latent value, independent of the others.
public struct DiagonalGaussian: Sendable {
    /// `[B, h, w, Z]`.
    public let mean: Tensor
    /// `[B, h, w, Z]`, kept in -30...20.
    public let logVariance: Tensor

    public init(mean: Tensor, logVariance: Tensor) {
        self.mean = mean
        self.logVariance = logVariance
    }

    /// `mean + exp(logVariance / 2) · noise`.
    public func sample(noise: Tensor) -> Tensor { mean + (logVariance * 0.5).exp() * noise }

    /// Divergence from the standard normal, `½ Σ (μ² + σ² − 1 − log σ²)` for each picture, averaged over pictures
    /// (Kingma and Welling 2014, arXiv:1312.6114, appendix B).
    public func divergenceFromStandardNormal() -> Tensor {
        let terms = mean.square() + logVariance.exp() - logVariance - 1
        return terms.sum() * (0.5 / Float(max(mean.shape[0], 1)))
    }
}
