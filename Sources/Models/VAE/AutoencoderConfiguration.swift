import Neural

extension AutoencoderKL {
    /// `config.json` of diffusers' `AutoencoderKL`, with its keys and defaults.
    public struct Configuration: Codable, Equatable, Sendable {
        public var inChannels = 3
        public var outChannels = 3
        public var downBlockTypes = ["DownEncoderBlock2D"]
        public var upBlockTypes = ["UpDecoderBlock2D"]
        public var blockOutChannels = [64]
        public var layersPerBlock = 1
        public var actFn = ActivationFunction.silu
        public var latentChannels = 4
        public var normNumGroups = 32
        /// Pixels of the pictures it was trained on.
        public var sampleSize: OneOrMany<Int> = 32
        /// Latents are multiplied by this before the UNet sees them.
        public var scalingFactor: Double = 0.18215
        /// Asks half-precision engines for float32; here all arithmetic is float32.
        public var forceUpcast = true
        public var useQuantConv = true
        public var usePostQuantConv = true
        public var midBlockAddAttention = true

        public init() {}

        enum CodingKeys: String, CodingKey {
            case inChannels = "in_channels", outChannels = "out_channels", downBlockTypes = "down_block_types"
            case upBlockTypes = "up_block_types", blockOutChannels = "block_out_channels", layersPerBlock = "layers_per_block"
            case actFn = "act_fn", latentChannels = "latent_channels", normNumGroups = "norm_num_groups", sampleSize = "sample_size"
            case scalingFactor = "scaling_factor", forceUpcast = "force_upcast", useQuantConv = "use_quant_conv"
            case usePostQuantConv = "use_post_quant_conv", midBlockAddAttention = "mid_block_add_attention"
        }

        public init(from decoder: any Decoder) throws {
            try decoder.requireOnly([("shift_factor", [0]), ("latents_mean", []), ("latents_std", [])])
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.inChannels, into: &inChannels)
            try c.read(.outChannels, into: &outChannels)
            try c.read(.downBlockTypes, into: &downBlockTypes)
            try c.read(.upBlockTypes, into: &upBlockTypes)
            try c.read(.blockOutChannels, into: &blockOutChannels)
            try c.read(.layersPerBlock, into: &layersPerBlock)
            try c.read(.actFn, into: &actFn)
            try c.read(.latentChannels, into: &latentChannels)
            try c.read(.normNumGroups, into: &normNumGroups)
            try c.read(.sampleSize, into: &sampleSize)
            try c.read(.scalingFactor, into: &scalingFactor)
            try c.read(.forceUpcast, into: &forceUpcast)
            try c.read(.useQuantConv, into: &useQuantConv)
            try c.read(.usePostQuantConv, into: &usePostQuantConv)
            try c.read(.midBlockAddAttention, into: &midBlockAddAttention)
        }

        /// Pixels along a side of one latent cell.
        public var scale: Int { 1 << (blockOutChannels.count - 1) }

        func validate() throws(ConfigurationError) {
            let count = blockOutChannels.count
            guard count > 0 else { throw .invalid(key: "block_out_channels", value: "[]", expected: "one size or more") }
            try requirePositive([("block_out_channels", blockOutChannels), ("norm_num_groups", [normNumGroups]),
                ("layers_per_block", [layersPerBlock]), ("latent_channels", [latentChannels]), ("in_channels", [inChannels]),
                ("out_channels", [outChannels])])
            for (key, types, known) in [
                ("down_block_types", downBlockTypes, "DownEncoderBlock2D"), ("up_block_types", upBlockTypes, "UpDecoderBlock2D"),
            ] {
                guard types.count == count else {
                    throw .invalid(key: key, value: "\(types)", expected: "\(count) names, as many as block_out_channels")
                }
                if let other = types.first(where: { $0 != known }) { throw .unsupported(key: key, value: other, supported: known) }
            }
            for channels in blockOutChannels where channels % normNumGroups != 0 {
                throw .invalid(key: "block_out_channels", value: "\(channels)", expected: "multiples of norm_num_groups, \(normNumGroups)")
            }
        }
    }
}
