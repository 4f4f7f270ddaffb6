import Checkpoints
import Neural
import TensorCore

/// The denoiser of Stable Diffusion 1, 2 and XL: diffusers' `UNet2DConditionModel` (arXiv:2112.10752).
///
/// `recomputedLevels` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class UNet: @unchecked Sendable {
    public let configuration: Configuration
    public let registry: Registry
    /// Levels, from full resolution down, whose layers the backward pass recomputes instead of keeping their intermediate values: slower,
    /// less memory, the most for the first ones.
    public var recomputedLevels = 0
    public var levelCount: Int { downBlocks.count }
    /// Whether all levels are recomputed.
    public var recomputes: Bool {
        get { recomputedLevels >= levelCount }
        set { recomputedLevels = newValue ? levelCount : 0 }
    }

    let convIn: Conv2d
    let timeSinusoids: SinusoidalEmbedding, timeEmbedding: TimestepEmbedding
    let added: AddedEmbedding?
    let downBlocks: [DownBlock]
    let midBlock: MidBlock?
    let upBlocks: [UpBlock]
    let normOut: GroupNorm, convOut: Conv2d

    /// - Throws: `ConfigurationError` for parts that are not built here or sizes that do not fit; `CheckpointError` for
    ///   missing keys and other shapes.
    public init(configuration: Configuration, weights w: Weights) throws {
        let levels = try configuration.levels()
        let builder = UNetBlockBuilder(configuration: configuration)
        let widths = configuration.blockOutChannels, last = levels.count - 1
        self.configuration = configuration
        registry = w.registry

        convIn = try Conv2d(w["conv_in"], configuration.inChannels, widths[0], kernel: configuration.convInKernel,
            padding: Padding((configuration.convInKernel - 1) / 2))
        timeSinusoids = SinusoidalEmbedding(width: widths[0], flips: configuration.flipSinToCos, shift: configuration.freqShift)
        timeEmbedding = try TimestepEmbedding(
            w["time_embedding"], from: widths[0], to: configuration.timeWidth, activation: configuration.actFn)
        added = try AddedEmbedding(w["add_embedding"], configuration)

        downBlocks = try levels.enumerated().map { i, level in
            let attends = try Self.attends(configuration.downBlockTypes[i], ["CrossAttnDownBlock2D", "DownBlock2D"], "down_block_types")
            return try builder.down(w["down_blocks"][i], from: widths[max(i - 1, 0)], level, attends: attends, halves: i < last)
        }
        midBlock = configuration.midBlockType == .absent ? nil
            : try builder.middle(w["mid_block"], levels[last], attends: configuration.midBlockType == .crossAttention)
        upBlocks = try levels.reversed().enumerated().map { i, level in
            let attends = try Self.attends(configuration.upBlockTypes[i], ["CrossAttnUpBlock2D", "UpBlock2D"], "up_block_types")
            return try builder.up(
                w["up_blocks"][i], from: widths[min(last - i + 1, last)], skipped: widths[max(last - i - 1, 0)], level,
                attends: attends, doubles: i < last)
        }
        normOut = try GroupNorm(
            w["conv_norm_out"], groups: configuration.normNumGroups, channels: widths[0], epsilon: Float(configuration.normEps))
        convOut = try Conv2d(w["conv_out"], widths[0], configuration.outChannels, kernel: configuration.convOutKernel,
            padding: Padding((configuration.convOutKernel - 1) / 2))
        try w.requireEveryKeyUsed()
    }

    /// Predicts the noise (or the velocity) in noisy latents.
    ///
    /// - Parameters:
    ///   - x: `[B, H, W, Cin]`, H and W in latent cells.
    ///   - timesteps: one for each picture, in `0..<1000`, fractions allowed.
    ///   - context: text states `[B, T, D]`.
    ///   - added: SDXL's pooled text and sizes; required exactly when the configuration has `addition_embed_type`.
    ///   - cache: keys and values of this context, for sampling.
    /// - Returns: `[B, H, W, Cout]`.
    public func callAsFunction(
        _ x: Tensor, timesteps: [Float], context: Tensor, added conditions: AddedConditions? = nil, cache: ContextCache? = nil
    ) -> Tensor {
        precondition(timesteps.count == x.shape[0] && context.shape[0] == x.shape[0],
            "UNet: \(x.shape[0]) latents, \(timesteps.count) timesteps, context \(context.shape)")
        precondition((conditions != nil) == (added != nil), "UNet: added conditions go with addition_embed_type")
        var embedding = timeEmbedding(timeSinusoids(timesteps, on: x.device))          // [B, D]
        if let added, let conditions { embedding = embedding + added(conditions) }
        let time = configuration.actFn(embedding), last = levelCount - 1
        func conditioning(_ level: Int) -> Conditioning {
            Conditioning(time: time, context: context, cache: cache, recomputes: level < recomputedLevels)
        }

        var h = convIn(configuration.centerInputSample ? x * 2 - 1 : x)  // [B, H, W, C₀]
        var skips = [h]
        for (level, block) in downBlocks.enumerated() {
            let outputs = block(h, conditioning(level))
            skips += outputs
            h = outputs[outputs.count - 1]
        }
        if let midBlock { h = midBlock(h, conditioning(last)) }
        for (place, block) in upBlocks.enumerated() { h = block(h, skips: &skips, conditioning(last - place)) }
        return convOut(normOut(h, then: configuration.actFn))
    }

    /// Whether the block of this type attends to the text: the first of the two `known` names does.
    private static func attends(_ type: String, _ known: [String], _ key: String) throws(ConfigurationError) -> Bool {
        guard known.contains(type) else {
            throw .unsupported(key: key, value: type, supported: known.joined(separator: ", "))
        }
        return type == known[0]
    }
}

/// What SDXL is told about a picture's sizes, all in pixels (Podell et al. 2023, arXiv:2307.01952, §2.2).
public struct SizeConditioning: Hashable, Sendable {
    /// Before any resizing: a small one asks for a blurred picture.
    public var originalHeight: Int, originalWidth: Int
    /// What a crop took away above and to the left: 0 asks for a centred subject.
    public var cropTop: Int, cropLeft: Int
    /// Of the picture as the model sees or draws it.
    public var targetHeight: Int, targetWidth: Int

    /// - Parameter original: rows and columns before resizing; nil as the target.
    public init(original: (height: Int, width: Int)? = nil, crop: (top: Int, left: Int) = (0, 0), target: (height: Int, width: Int)) {
        (originalHeight, originalWidth) = original ?? target
        (cropTop, cropLeft) = crop
        (targetHeight, targetWidth) = target
    }

    /// diffusers' `add_time_ids`.
    var numbers: [Float] { [originalHeight, originalWidth, cropTop, cropLeft, targetHeight, targetWidth].map(Float.init) }
    static let count = 6
}

/// What SDXL adds to the timestep: the pooled text, and the picture's sizes.
public struct AddedConditions {
    /// `[B, P]`.
    public let pooled: Tensor
    /// One for each picture.
    public let sizes: [SizeConditioning]

    public init(pooled: Tensor, sizes: [SizeConditioning]) {
        precondition(pooled.shape[0] == sizes.count, "pooled text \(pooled.shape) with the sizes of \(sizes.count) pictures")
        self.pooled = pooled
        self.sizes = sizes
    }
}

/// `addition_embed_type = "text_time"`: pooled text beside the sinusoids of the sizes, through two linear layers.
struct AddedEmbedding: Sendable {
    let sinusoids: SinusoidalEmbedding
    let embedding: TimestepEmbedding

    /// - Returns: nil when the configuration has no added embedding.
    init?(_ w: Weights, _ configuration: UNet.Configuration) throws {
        guard let type = configuration.additionEmbedType else { return nil }
        guard type == "text_time" else {
            throw ConfigurationError.unsupported(key: "addition_embed_type", value: type, supported: "text_time, null")
        }
        guard let width = configuration.additionTimeEmbedDim, let inputs = configuration.projectionClassEmbeddingsInputDim else {
            throw ConfigurationError.invalid(
                key: "addition_embed_type", value: type,
                expected: "addition_time_embed_dim and projection_class_embeddings_input_dim beside it")
        }
        sinusoids = SinusoidalEmbedding(width: width, flips: configuration.flipSinToCos, shift: configuration.freqShift)
        embedding = try TimestepEmbedding(w, from: inputs, to: configuration.timeWidth, activation: .silu)
    }

    /// - Returns: `[B, D]`.
    func callAsFunction(_ conditions: AddedConditions) -> Tensor {
        let sizes = sinusoids(conditions.sizes.flatMap(\.numbers), on: conditions.pooled.device).reshaped([conditions.sizes.count, -1])
        return embedding(Tensor.concatenated([conditions.pooled, sizes], axis: 1))
    }
}
