import Neural

/// How the UNet's layers are numbered in the original (LDM) layout, which Kohya's SDXL names follow, against diffusers' paths.
///
/// LDM counts through `input_blocks` and `output_blocks`: the first convolution, then each level's residual blocks and its
/// halving or doubling. So a path follows from the other by arithmetic.
/// Source: Stability AI's `openaimodel.py` (order of blocks) and diffusers' `UNet2DConditionModel`; checked for all layers of
/// SD 1, SD 2 and SDXL.
public struct UNetLayout: Sendable, Equatable {
    /// Residual blocks of a level on the way down; there is one more on the way up.
    public let layersPerBlock: Int
    /// Levels on the way up that attend to the text: their doubling comes third in LDM's block, else second.
    public let attendingUpBlocks: Set<Int>

    public init(layersPerBlock: Int, attendingUpBlocks: Set<Int>) {
        precondition(layersPerBlock > 0, "UNetLayout: \(layersPerBlock) layers per block")
        self.layersPerBlock = layersPerBlock
        self.attendingUpBlocks = attendingUpBlocks
    }

    /// Stable Diffusion 1 and 2.
    public static let standard = UNetLayout(layersPerBlock: 2, attendingUpBlocks: [1, 2, 3])
    public static let xl = UNetLayout(layersPerBlock: 2, attendingUpBlocks: [0, 1])

    /// The layout of a model with these module paths.
    public init(paths: [String]) {
        let parts = paths.map { $0.split(separator: ".") }
        let layers = parts.filter { $0.count > 3 && $0[0] == "down_blocks" && $0[2] == "resnets" }.compactMap { Int($0[3]) }
        let attending = parts.filter { $0.count > 2 && $0[0] == "up_blocks" && $0[2] == "attentions" }.compactMap { Int($0[1]) }
        self.init(layersPerBlock: (layers.max() ?? 1) + 1, attendingUpBlocks: Set(attending))
    }

    /// Layers outside the levels, and inside a residual block: diffusers' name and LDM's.
    private static let outer = [
        ("conv_in", "input_blocks.0.0"), ("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
    ]
    private static let residual = [
        ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"), ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"),
    ]

    /// LDM's path of a layer; nil for what is no path of diffusers' UNet.
    public func ldmPath(of path: String) -> String? {
        if let pair = Self.outer.first(where: { $0.0 == path }) { return pair.1 }
        let p = path.split(separator: ".").map(String.init), perLevel = layersPerBlock + 1
        if p.count > 3, p[0] == "mid_block", let index = Int(p[2]) {
            if p[1] == "attentions" { return "middle_block.1." + p[3...].joined(separator: ".") }
            return residual(p[3]).map { "middle_block.\(2 * index).\($0)" }
        }
        guard p.count > 4, let level = Int(p[1]), let index = Int(p[3]) else { return nil }
        let rest = p[4...].joined(separator: ".")
        switch (p[0], p[2]) {
        case ("down_blocks", "resnets"): return residual(rest).map { "input_blocks.\(1 + level * perLevel + index).0.\($0)" }
        case ("down_blocks", "attentions"): return "input_blocks.\(1 + level * perLevel + index).1.\(rest)"
        case ("down_blocks", "downsamplers"): return "input_blocks.\((level + 1) * perLevel).0.op"
        case ("up_blocks", "resnets"): return residual(rest).map { "output_blocks.\(level * perLevel + index).0.\($0)" }
        case ("up_blocks", "attentions"): return "output_blocks.\(level * perLevel + index).1.\(rest)"
        case ("up_blocks", "upsamplers"): return "output_blocks.\(level * perLevel + layersPerBlock).\(attendingUpBlocks.contains(level) ? 2 : 1).conv"
        default: return nil
        }
    }

    /// diffusers' path of a layer that LDM names; nil for what is no path of LDM's UNet.
    public func diffusersPath(of ldm: String) -> String? {
        if let pair = Self.outer.first(where: { $0.1 == ldm }) { return pair.0 }
        let p = ldm.split(separator: ".").map(String.init), perLevel = layersPerBlock + 1
        guard p.count > 2, let number = Int(p[1]) else { return nil }
        if p[0] == "middle_block" {
            let rest = p[2...].joined(separator: ".")
            if number == 1 { return "mid_block.attentions.0.\(rest)" }
            return fromResidual(rest).map { "mid_block.resnets.\(number / 2).\($0)" }
        }
        guard p.count > 3, let place = Int(p[2]) else {
            return nil
        }
        let rest = p[3...].joined(separator: ".")
        switch p[0] {
        case "input_blocks" where number > 0:
            let level = (number - 1) / perLevel, index = (number - 1) % perLevel
            if rest == "op" { return "down_blocks.\(level).downsamplers.0.conv" }
            if place == 1 { return "down_blocks.\(level).attentions.\(index).\(rest)" }
            return fromResidual(rest).map { "down_blocks.\(level).resnets.\(index).\($0)" }
        case "output_blocks":
            let level = number / perLevel, index = number % perLevel
            if rest == "conv" { return "up_blocks.\(level).upsamplers.0.conv" }
            if place == 1 { return "up_blocks.\(level).attentions.\(index).\(rest)" }
            return fromResidual(rest).map { "up_blocks.\(level).resnets.\(index).\($0)" }
        default: return nil
        }
    }

    private func residual(_ name: String) -> String? { Self.residual.first { $0.0 == name }?.1 }
    private func fromResidual(_ name: String) -> String? { Self.residual.first { $0.1 == name }?.0 }
}
