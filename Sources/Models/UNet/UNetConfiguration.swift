import Neural
import Text

extension UNet {
    /// `config.json` of diffusers' `UNet2DConditionModel`, with its keys and defaults.
    public struct Configuration: Codable, Equatable, Sendable {
        /// Rows and columns of latent cells the model was trained for.
        public var sampleSize: OneOrMany<Int>?
        public var inChannels = 4
        public var outChannels = 4
        public var centerInputSample = false
        public var flipSinToCos = true
        public var freqShift: Double = 0
        public var downBlockTypes = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]
        public var midBlockType = MidBlockType.crossAttention
        public var upBlockTypes = ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
        public var onlyCrossAttention: OneOrMany<Bool> = false
        public var blockOutChannels = [320, 640, 1280, 1280]
        public var layersPerBlock: OneOrMany<Int> = 2
        public var downsamplePadding = 1
        public var actFn = ActivationFunction.silu
        public var normNumGroups = 32
        public var normEps: Double = 1e-5
        public var crossAttentionDim: OneOrMany<Int> = 1280
        public var transformerLayersPerBlock: OneOrMany<Int> = 1
        /// Despite its name the number of heads of each block, and not their width; diffusers keeps the name for old files.
        public var attentionHeadDim: OneOrMany<Int> = 8
        public var useLinearProjection = false
        /// `text_time` (SDXL's pooled text and picture sizes) or nil.
        public var additionEmbedType: String?
        public var additionTimeEmbedDim: Int?
        public var projectionClassEmbeddingsInputDim: Int?
        /// Asks half-precision engines for float32 scores; here all arithmetic is float32.
        public var upcastAttention = false
        public var timeEmbeddingDim: Int?
        public var convInKernel = 3
        public var convOutKernel = 3

        public init() {}

        enum CodingKeys: String, CodingKey {
            case sampleSize = "sample_size", inChannels = "in_channels", outChannels = "out_channels"
            case centerInputSample = "center_input_sample", flipSinToCos = "flip_sin_to_cos", freqShift = "freq_shift"
            case downBlockTypes = "down_block_types", midBlockType = "mid_block_type", upBlockTypes = "up_block_types"
            case onlyCrossAttention = "only_cross_attention", blockOutChannels = "block_out_channels"
            case layersPerBlock = "layers_per_block", downsamplePadding = "downsample_padding", actFn = "act_fn"
            case normNumGroups = "norm_num_groups", normEps = "norm_eps", crossAttentionDim = "cross_attention_dim"
            case transformerLayersPerBlock = "transformer_layers_per_block", attentionHeadDim = "attention_head_dim"
            case useLinearProjection = "use_linear_projection", additionEmbedType = "addition_embed_type"
            case additionTimeEmbedDim = "addition_time_embed_dim"
            case projectionClassEmbeddingsInputDim = "projection_class_embeddings_input_dim"
            case upcastAttention = "upcast_attention", timeEmbeddingDim = "time_embedding_dim"
            case convInKernel = "conv_in_kernel", convOutKernel = "conv_out_kernel"
        }

        public init(from decoder: any Decoder) throws {
            try decoder.requireOnly(Self.absentParts)
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.readOptional(.sampleSize, into: &sampleSize)
            try c.read(.inChannels, into: &inChannels)
            try c.read(.outChannels, into: &outChannels)
            try c.read(.centerInputSample, into: &centerInputSample)
            try c.read(.flipSinToCos, into: &flipSinToCos)
            try c.read(.freqShift, into: &freqShift)
            try c.read(.downBlockTypes, into: &downBlockTypes)
            if c.contains(.midBlockType) { midBlockType = try c.decode(MidBlockType.self, forKey: .midBlockType) }
            try c.read(.upBlockTypes, into: &upBlockTypes)
            try c.read(.onlyCrossAttention, into: &onlyCrossAttention)
            try c.read(.blockOutChannels, into: &blockOutChannels)
            try c.read(.layersPerBlock, into: &layersPerBlock)
            try c.read(.downsamplePadding, into: &downsamplePadding)
            try c.read(.actFn, into: &actFn)
            try c.read(.normNumGroups, into: &normNumGroups)
            try c.read(.normEps, into: &normEps)
            try c.read(.crossAttentionDim, into: &crossAttentionDim)
            try c.read(.transformerLayersPerBlock, into: &transformerLayersPerBlock)
            try c.read(.attentionHeadDim, into: &attentionHeadDim)
            try c.read(.useLinearProjection, into: &useLinearProjection)
            try c.readOptional(.additionEmbedType, into: &additionEmbedType)
            try c.readOptional(.additionTimeEmbedDim, into: &additionTimeEmbedDim)
            try c.readOptional(.projectionClassEmbeddingsInputDim, into: &projectionClassEmbeddingsInputDim)
            try c.read(.upcastAttention, into: &upcastAttention)
            try c.readOptional(.timeEmbeddingDim, into: &timeEmbeddingDim)
            try c.read(.convInKernel, into: &convInKernel)
            try c.read(.convOutKernel, into: &convOutKernel)
        }

        /// Keys of parts that no Stable Diffusion 1, 2 or XL model has, with the values under which they are absent.
        private static let absentParts: [(key: String, allowed: [JSON])] = [
            ("mid_block_scale_factor", [1]), ("dropout", [0]), ("reverse_transformer_layers_per_block", []),
            ("encoder_hid_dim", []), ("encoder_hid_dim_type", []), ("num_attention_heads", []), ("dual_cross_attention", [false]),
            ("class_embed_type", []), ("num_class_embeds", []), ("resnet_time_scale_shift", ["default"]),
            ("resnet_skip_time_act", [false]), ("resnet_out_scale_factor", [1]),
            ("time_embedding_type", ["positional"]), ("time_embedding_act_fn", []), ("timestep_post_act", []),
            ("time_cond_proj_dim", []), ("attention_type", ["default"]), ("class_embeddings_concat", [false]),
            ("mid_block_only_cross_attention", [false]), ("cross_attention_norm", []),
        ]
    }
}

extension UNet {
    /// The block below the lowest level; null in the file means that there is none.
    public enum MidBlockType: String, Codable, Sendable {
        case crossAttention = "UNetMidBlock2DCrossAttn"
        case plain = "UNetMidBlock2D"
        case absent = "null"

        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() { self = .absent; return }
            let name = try container.decode(String.self)
            guard let type = MidBlockType(rawValue: name), type != .absent else {
                throw ConfigurationError.unsupported(
                    key: "mid_block_type", value: name, supported: "\(Self.crossAttention.rawValue), \(Self.plain.rawValue), null")
            }
            self = type
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            if self == .absent { try container.encodeNil() } else { try container.encode(rawValue) }
        }
    }
}

extension UNet.Configuration {
    /// Width of the timestep embedding.
    var timeWidth: Int { timeEmbeddingDim ?? blockOutChannels[0] * 4 }

    /// What each level needs, from full resolution downwards.
    struct Level {
        let channels: Int, layers: Int, heads: Int, contextWidth: Int, transformerLayers: Int, onlyCrossAttention: Bool
    }

    /// - Throws: `ConfigurationError` when lists disagree in length or a size cannot be built.
    func levels() throws(ConfigurationError) -> [Level] {
        let count = blockOutChannels.count
        guard count > 0 else { throw .invalid(key: "block_out_channels", value: "[]", expected: "one size or more") }
        for (key, list) in [("down_block_types", downBlockTypes), ("up_block_types", upBlockTypes)] where list.count != count {
            throw .invalid(key: key, value: "\(list)", expected: "\(count) names, as many as block_out_channels")
        }
        let layers = try layersPerBlock.values(count, key: "layers_per_block")
        let heads = try attentionHeadDim.values(count, key: "attention_head_dim")
        let contexts = try crossAttentionDim.values(count, key: "cross_attention_dim")
        let depths = try transformerLayersPerBlock.values(count, key: "transformer_layers_per_block")
        let crossOnly = try onlyCrossAttention.values(count, key: "only_cross_attention")
        try requirePositive([("norm_num_groups", [normNumGroups]), ("block_out_channels", blockOutChannels), ("layers_per_block", layers),
            ("attention_head_dim", heads), ("cross_attention_dim", contexts), ("in_channels", [inChannels]), ("out_channels", [outChannels])])
        for (key, size) in [("conv_in_kernel", convInKernel), ("conv_out_kernel", convOutKernel)] where size < 1 || size % 2 == 0 {
            throw .invalid(key: key, value: "\(size)", expected: "an odd size")
        }
        for (index, channels) in blockOutChannels.enumerated() {
            guard channels % normNumGroups == 0 else {
                throw .invalid(key: "block_out_channels", value: "\(channels)", expected: "multiples of norm_num_groups, \(normNumGroups)")
            }
            guard channels % heads[index] == 0 else {
                throw .invalid(key: "attention_head_dim", value: "\(heads[index])", expected: "a divisor of the \(channels) channels")
            }
        }
        return (0..<count).map {
            Level(channels: blockOutChannels[$0], layers: layers[$0], heads: heads[$0], contextWidth: contexts[$0],
                transformerLayers: depths[$0], onlyCrossAttention: crossOnly[$0])
        }
    }
}

/// - Throws: `ConfigurationError.invalid` for the first size below 1.
func requirePositive(_ sizes: [(key: String, values: [Int])]) throws(ConfigurationError) {
    for (key, values) in sizes {
        if let value = values.first(where: { $0 < 1 }) { throw .invalid(key: key, value: "\(value)", expected: "1 or more") }
    }
}
