import Checkpoints
import Neural

/// Kohya's names of a model's layers: a prefix for the part, then the module path with `_` for `.`.
///
/// SD 1 and 2: `lora_unet_` with diffusers' path, `lora_te_`. SDXL: `lora_unet_` with LDM's path, `lora_te1_`, `lora_te2_`.
/// Written in that way; read in either, and in LyCORIS' `lycoris_` for a network over one part.
public struct LayerNaming: Sendable, Equatable {
    public let isXL: Bool
    public let layout: UNetLayout

    public init(isXL: Bool, layout: UNetLayout) {
        self.isXL = isXL
        self.layout = layout
    }

    public static let standard = LayerNaming(isXL: false, layout: .standard)
    public static let xl = LayerNaming(isXL: true, layout: .xl)

    /// The name that files are written with.
    public func name(of part: AdapterPart, path: String) -> String {
        switch part {
        case .unet: AdapterPart.unet.name(ofLayer: isXL ? layout.ldmPath(of: path) ?? path : path)
        case .textEncoder where isXL: "lora_te1_" + Self.underscored(path)
        case .textEncoder, .textEncoder2: part.name(ofLayer: path)
        }
    }

    /// All names that files call this layer by.
    func spellings(of part: AdapterPart, path: String) -> [String] {
        var paths = [path]
        if part == .unet { paths += layout.ldmPath(of: path).map { [$0] } ?? [] }
        // transformers 5 has dropped the scope from its module paths.
        if part != .unet, path.hasPrefix("text_model.") { paths.append(String(path.dropFirst("text_model.".count))) }
        let prefixes = switch part {
        case .unet: ["lora_unet_", "lycoris_"]
        case .textEncoder: ["lora_te_", "lora_te1_", "lycoris_"]
        case .textEncoder2: ["lora_te2_"]
        }
        return prefixes.flatMap { prefix in paths.map { prefix + Self.underscored($0) } }
    }

    /// The layer that a name stands for: the inverse of `name(of:path:)`; nil for names of another kind.
    public func layer(named name: String) -> (part: AdapterPart, path: String)? {
        let prefixes: [(String, AdapterPart)] = [
            ("lora_unet_", .unet), ("lora_te1_", .textEncoder), ("lora_te2_", .textEncoder2), ("lora_te_", .textEncoder),
        ]
        guard let (prefix, part) = prefixes.first(where: { name.hasPrefix($0.0) }) else { return nil }
        let path = Self.dotted(String(name.dropFirst(prefix.count)))
        return (part, part == .unet ? layout.diffusersPath(of: path) ?? path : path)
    }

    static func underscored(_ path: String) -> String { String(path.map { $0 == "." ? "_" : $0 }) }

    /// Parts of module paths that hold an underscore themselves.
    private static let words: Set<String> = [
        "down_blocks", "up_blocks", "mid_block", "conv_in", "conv_out", "conv_norm_out", "conv_shortcut", "time_embedding", "add_embedding",
        "linear_1", "linear_2", "time_emb_proj", "transformer_blocks", "proj_in", "proj_out", "to_q", "to_k", "to_v", "to_out",
        "input_blocks", "middle_block", "output_blocks", "time_embed", "label_emb", "in_layers", "out_layers", "emb_layers", "skip_connection",
        "text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "layer_norm1", "layer_norm2", "final_layer_norm", "text_projection",
        "token_embedding", "position_embedding",
    ]

    /// `down_blocks_0_attentions_0_proj_in` → `down_blocks.0.attentions.0.proj_in`, by the longest known word at each place.
    static func dotted(_ name: String) -> String {
        let pieces = name.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
        var path: [String] = [], i = 0
        while i < pieces.count {
            let length = (1...3).last { i + $0 <= pieces.count && ($0 == 1 || words.contains(pieces[i..<i + $0].joined(separator: "_"))) } ?? 1
            path.append(pieces[i..<i + length].joined(separator: "_"))
            i += length
        }
        return path.joined(separator: ".")
    }
}
