/// How the layers of a diffusion UNet are called in the original (LDM) layout, which single files and Kohya's SDXL adapters follow,
/// and in diffusers': one table, read both ways.
///
/// LDM numbers all blocks of the way down, and of the way up, in one row: the first convolution, then each level's residual blocks
/// with its halving or doubling behind them.
/// Source: Stability AI's `openaimodel.py` (order of blocks) and diffusers' `UNet2DConditionModel`; checked for all layers of
/// SD 1, SD 2 and SDXL.
public struct UNetLayout: Sendable {
    /// Residual blocks of each level on the way down, the finest first; there is one more on the way up.
    public let layers: [Int]
    /// Whether each level attends to the text: on the way down, the finest first; on the way up, the coarsest first.
    public let attendsDown: [Bool], attendsUp: [Bool]
    /// Whether sizes and pooled text are added to the timestep, as in SDXL.
    public let hasAddedEmbedding: Bool
    /// LDM's names in terms of diffusers'.
    public let table: KeyTable

    public init(layers: [Int], attendsDown: [Bool], attendsUp: [Bool], hasAddedEmbedding: Bool) {
        precondition(
            layers.count == attendsDown.count && layers.count == attendsUp.count,
            "UNetLayout: \(layers.count) levels, \(attendsDown.count) on the way down, \(attendsUp.count) on the way up")
        (self.layers, self.attendsDown, self.attendsUp, self.hasAddedEmbedding) = (layers, attendsDown, attendsUp, hasAddedEmbedding)
        table = KeyTable(
            Self.outer + (hasAddedEmbedding ? Self.addedEmbedding : []) + Self.down(layers, attendsDown) + Self.middle
                + Self.up(layers.reversed(), attendsUp))
    }

    /// Stable Diffusion 1 and 2.
    public static let standard = UNetLayout(
        layers: [2, 2, 2, 2], attendsDown: [true, true, true, false], attendsUp: [false, true, true, true], hasAddedEmbedding: false)
    public static let xl = UNetLayout(layers: [2, 2, 2], attendsDown: [false, true, true], attendsUp: [true, true, false], hasAddedEmbedding: true)

    /// The layout of a model with these module paths, in diffusers' names.
    public init(paths: [String]) {
        var layers: [Int: Int] = [:], down: Set<Int> = [], up: Set<Int> = []
        for path in paths {
            let parts = path.split(separator: ".")
            guard parts.count > 3, let level = Int(parts[1]), let index = Int(parts[3]) else { continue }
            switch (parts[0], parts[2]) {
            case ("down_blocks", "resnets"): layers[level] = max(layers[level] ?? 0, index + 1)
            case ("down_blocks", "attentions"): down.insert(level)
            case ("up_blocks", "attentions"): up.insert(level)
            default: break
            }
        }
        let levels = 0..<((layers.keys.max() ?? -1) + 1)
        self.init(
            layers: levels.map { layers[$0] ?? 0 }, attendsDown: levels.map(down.contains), attendsUp: levels.map(up.contains),
            hasAddedEmbedding: paths.contains { $0.hasPrefix("add_embedding.") })
    }

    /// LDM's path of a layer; nil for what is no path of this UNet.
    public func ldmPath(of path: String) -> String? { table.original(of: path)?.key }

    /// diffusers' path of a layer that LDM names; nil for what is no path of this UNet.
    public func diffusersPath(of ldm: String) -> String? { table.names(of: ldm).first?.name }

    // MARK: Rules

    private typealias Rule = KeyTable.Rule

    private static let outer = [
        Rule("input_blocks.0.0", "conv_in"), Rule("time_embed.0", "time_embedding.linear_1"), Rule("time_embed.2", "time_embedding.linear_2"),
        Rule("out.0", "conv_norm_out"), Rule("out.2", "conv_out"),
    ]
    private static let addedEmbedding = [Rule("label_emb.0.0", "add_embedding.linear_1"), Rule("label_emb.0.2", "add_embedding.linear_2")]
    private static let middle =
        resnet("middle_block.0", "mid_block.resnets.0") + [Rule("middle_block.1", "mid_block.attentions.0")]
        + resnet("middle_block.2", "mid_block.resnets.1")

    private static func down(_ layers: [Int], _ attends: [Bool]) -> [Rule] {
        var rules: [Rule] = [], block = 1
        for (level, count) in layers.enumerated() {
            for layer in 0..<count {
                rules += resnet("input_blocks.\(block).0", "down_blocks.\(level).resnets.\(layer)")
                if attends[level] { rules.append(Rule("input_blocks.\(block).1", "down_blocks.\(level).attentions.\(layer)")) }
                block += 1
            }
            guard level < layers.count - 1 else { continue }
            rules.append(Rule("input_blocks.\(block).0.op", "down_blocks.\(level).downsamplers.0.conv"))
            block += 1
        }
        return rules
    }

    private static func up(_ layers: [Int], _ attends: [Bool]) -> [Rule] {
        var rules: [Rule] = [], block = 0
        for (level, count) in layers.enumerated() {
            for layer in 0...count {
                rules += resnet("output_blocks.\(block).0", "up_blocks.\(level).resnets.\(layer)")
                if attends[level] { rules.append(Rule("output_blocks.\(block).1", "up_blocks.\(level).attentions.\(layer)")) }
                if layer == count, level < layers.count - 1 {
                    rules.append(Rule("output_blocks.\(block).\(attends[level] ? 2 : 1).conv", "up_blocks.\(level).upsamplers.0.conv"))
                }
                block += 1
            }
        }
        return rules
    }

    private static func resnet(_ original: String, _ name: String) -> [Rule] {
        [("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("emb_layers.1", "time_emb_proj"), ("out_layers.0", "norm2"), ("out_layers.3", "conv2"),
            ("skip_connection", "conv_shortcut")].map { Rule("\(original).\($0)", "\(name).\($1)") }
    }
}

extension UNetLayout: Equatable {
    /// The table follows from the rest.
    public static func == (a: UNetLayout, b: UNetLayout) -> Bool {
        (a.layers, a.attendsDown, a.attendsUp) == (b.layers, b.attendsDown, b.attendsUp) && a.hasAddedEmbedding == b.hasAddedEmbedding
    }
}
