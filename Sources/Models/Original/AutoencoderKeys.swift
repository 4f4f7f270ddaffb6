import Checkpoints
import Neural
import TensorCore

extension KeyTable {
    /// The original names of an autoencoder (without "first_stage_model.") in terms of diffusers'. The original counts the levels
    /// of the decoder from full resolution, diffusers from the lowest.
    ///
    /// - Parameters:
    ///   - levels: of resolution.
    ///   - layers: residual blocks of an encoder's level; a decoder's has one more.
    static func autoencoder(levels: Int, layers: Int) -> KeyTable {
        var rules = [Rule("quant_conv", "quant_conv"), Rule("post_quant_conv", "post_quant_conv")]
        for side in ["encoder", "decoder"] {
            rules += ["conv_in", "conv_out"].map { Rule("\(side).\($0)", "\(side).\($0)") }
            rules.append(Rule("\(side).norm_out", "\(side).conv_norm_out"))
            rules += resnet("\(side).mid.block_1", "\(side).mid_block.resnets.0") + resnet("\(side).mid.block_2", "\(side).mid_block.resnets.1")
            rules += [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")].map {
                Rule("\(side).mid.attn_1.\($0)", "\(side).mid_block.attentions.0.\($1)", .matrix)
            }
        }
        for level in 0..<levels {
            let fromBelow = levels - 1 - level
            for layer in 0...layers {
                if layer < layers { rules += resnet("encoder.down.\(level).block.\(layer)", "encoder.down_blocks.\(level).resnets.\(layer)") }
                rules += resnet("decoder.up.\(level).block.\(layer)", "decoder.up_blocks.\(fromBelow).resnets.\(layer)")
            }
            rules.append(Rule("encoder.down.\(level).downsample.conv", "encoder.down_blocks.\(level).downsamplers.0.conv"))
            rules.append(Rule("decoder.up.\(level).upsample.conv", "decoder.up_blocks.\(fromBelow).upsamplers.0.conv"))
        }
        return KeyTable(rules)
    }

    private static func resnet(_ original: String, _ name: String) -> [Rule] {
        ["norm1", "conv1", "norm2", "conv2"].map { Rule("\(original).\($0)", "\(name).\($0)") } + [Rule("\(original).nin_shortcut", "\(name).conv_shortcut")]
    }
}

extension AutoencoderKL {
    /// Prefix of an autoencoder's keys in an original file.
    static let originalPrefix = "first_stage_model."
    /// Latents of Stable Diffusion 1 and 2, and of XL, are multiplied by these.
    public static let scalingFactor = 0.18215, scalingFactorXL = 0.13025

    /// An autoencoder's tensors in a file under diffusers' names: as they are, or renamed from the original ones.
    ///
    /// - Returns: nil when the file has none.
    static func weights(in file: any WeightFile) -> (any WeightFile)? {
        if file.contains("encoder.down_blocks.0.resnets.0.conv1.weight") { return file }
        for prefix in [originalPrefix, ""] where file.contains(prefix + "decoder.conv_in.weight") && file.contains(prefix + "encoder.down.0.block.0.conv1.weight") {
            let shapes = OriginalShapes(file, under: prefix)
            let levels = shapes.count { "encoder.down.\($0).block.0.norm1.weight" }, layers = shapes.count { "encoder.down.0.block.\($0).norm1.weight" }
            return RenamedWeights(file, under: prefix, table: .autoencoder(levels: levels, layers: layers))
        }
        return nil
    }

    /// Reads a folder with `config.json` and weights, or a single file in diffusers' or the original names.
    ///
    /// - Parameter scalingFactor: of the model that the autoencoder is for; a single file does not say it.
    /// - Throws: `ModelFileError` for a file without an autoencoder; `ConfigurationError`, `CheckpointError`.
    public static func load(path: String, scalingFactor: Double = AutoencoderKL.scalingFactor, precision: DType? = nil) throws -> AutoencoderKL {
        if isFolder(path) { return try load(folder: path, precision: precision) }
        let file = try WeightFiles.open(path)
        guard let weights = weights(in: file) else {
            throw ModelFileError.missingPart("autoencoder", file: path, wayOut: "Give a diffusers folder, or a file with the tensors encoder.… and decoder.… .")
        }
        return try AutoencoderKL(weights: weights, configuration: Configuration(tensors: weights, scalingFactor: scalingFactor), precision: precision)
    }

    /// Builds it from a file's tensors and accounts for all of them.
    convenience init(weights: any WeightFile, configuration: Configuration, precision: DType?) throws {
        if let renamed = weights as? RenamedWeights {
            let unknown = renamed.unknown.filter { !OriginalFile.carriesNoWeights($0) }
            if !unknown.isEmpty { throw CheckpointError.unusedKeys(unknown, file: renamed.location) }
        }
        try self.init(configuration: configuration, weights: Weights(weights, precision: precision))
    }
}

extension AutoencoderKL.Configuration {
    /// The architecture that tensors under diffusers' names have.
    init(tensors file: any WeightFile, scalingFactor: Double) throws {
        self.init()
        let shapes = OriginalShapes(file)
        let levels = shapes.count { "encoder.down_blocks.\($0).resnets.0.norm1.weight" }
        blockOutChannels = try (0..<levels).map { try shapes.shape("encoder.down_blocks.\($0).resnets.0.conv1.weight", rank: 4)[0] }
        layersPerBlock = shapes.count { "encoder.down_blocks.0.resnets.\($0).norm1.weight" }
        downBlockTypes = Array(repeating: "DownEncoderBlock2D", count: levels)
        upBlockTypes = Array(repeating: "UpDecoderBlock2D", count: levels)
        inChannels = try shapes.shape("encoder.conv_in.weight", rank: 4)[1]
        outChannels = try shapes.shape("decoder.conv_out.weight", rank: 4)[0]
        latentChannels = try shapes.shape("decoder.conv_in.weight", rank: 4)[1]
        midBlockAddAttention = shapes.contains("encoder.mid_block.attentions.0.group_norm.weight")
        useQuantConv = shapes.contains("quant_conv.weight")
        usePostQuantConv = shapes.contains("post_quant_conv.weight")
        self.scalingFactor = scalingFactor
    }
}
