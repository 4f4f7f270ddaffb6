import Checkpoints
import Neural

extension KeyTable {
    /// OpenAI's CLIP as transformers names it; some merged files leave out "text_model.".
    static func clip(isNested: Bool) -> KeyTable {
        KeyTable(["embeddings", "encoder", "final_layer_norm"].map { Rule(isNested ? "text_model.\($0)" : $0, "text_model.\($0)") })
    }

    /// OpenCLIP's names of a text encoder in terms of transformers': query, key and value stand in one matrix, and the projection
    /// is used as `x·P` where a linear layer holds `Pᵀ`.
    static func openCLIP(layers: Int, projects: Bool) -> KeyTable {
        var rules = [
            Rule("token_embedding", "text_model.embeddings.token_embedding"),
            Rule("positional_embedding", "text_model.embeddings.position_embedding.weight"),
            Rule("ln_final", "text_model.final_layer_norm"),
        ]
        if projects {                                                    // as a linear layer in files that were converted back
            rules += [Rule("text_projection", "text_projection.weight", .transposed), Rule("text_projection.weight", "text_projection.weight")]
        }
        for layer in 0..<layers {
            let original = "transformer.resblocks.\(layer)", name = "text_model.encoder.layers.\(layer)"
            rules += [("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")]
                .map { Rule("\(original).\($0)", "\(name).\($1)") }
            for (part, letter) in ["q", "k", "v"].enumerated() {
                for kind in ["weight", "bias"] {
                    rules.append(Rule("\(original).attn.in_proj_\(kind)", "\(name).self_attn.\(letter)_proj.\(kind)", .third(part)))
                }
            }
        }
        return KeyTable(rules)
    }
}

/// Where an original file keeps a text encoder.
struct OriginalTextEncoder {
    enum Naming { case transformers, openCLIP }
    let prefix: String
    let naming: Naming
    /// Whether the last layer is stored and never used, as Stable Diffusion 2 does it.
    var dropsLastLayer = false
    var projects = false

    /// Channels of a head in all of CLIP's text encoders.
    private static let headRule = HeadRule.width(64)

    /// The encoder's tensors under transformers' names.
    func weights(in file: any WeightFile) -> RenamedWeights {
        let shapes = OriginalShapes(file, under: prefix)
        switch naming {
        case .transformers:
            return RenamedWeights(file, under: prefix, table: .clip(isNested: shapes.contains("text_model.embeddings.token_embedding.weight")))
        case .openCLIP: return RenamedWeights(file, under: prefix, table: .openCLIP(layers: layers(shapes), projects: projects))
        }
    }

    /// Layers in use. Releases hold all 24 of OpenCLIP's and their projection; converted files only the 23 in use.
    private func layers(_ shapes: OriginalShapes) -> Int {
        let stored = shapes.count { "transformer.resblocks.\($0).ln_1.weight" }
        return dropsLastLayer && (shapes.contains("text_projection") || stored == 24) ? stored - 1 : stored
    }

    /// Whether a key under the prefix is known and rightly not used.
    func ignores(_ key: String, in file: any WeightFile) -> Bool {
        let name = key.dropFirst(prefix.count)
        if !projects, name == "text_projection" || name == "text_projection.weight" { return true }
        guard naming == .openCLIP, dropsLastLayer else { return false }
        return name.hasPrefix("transformer.resblocks.\(layers(OriginalShapes(file, under: prefix))).")
    }

    /// - Parameter weights: what `weights(in:)` gave.
    func configuration(_ weights: RenamedWeights) throws -> CLIPTextEncoder.Configuration {
        let shapes = OriginalShapes(weights)
        let tokens = try shapes.shape("text_model.embeddings.token_embedding.weight", rank: 2)
        var configuration = CLIPTextEncoder.Configuration()
        (configuration.vocabSize, configuration.hiddenSize) = (tokens[0], tokens[1])
        configuration.maxPositionEmbeddings = try shapes.shape("text_model.embeddings.position_embedding.weight", rank: 2)[0]
        configuration.numHiddenLayers = shapes.count { "text_model.encoder.layers.\($0).layer_norm1.weight" }
        configuration.intermediateSize = try shapes.shape("text_model.encoder.layers.0.mlp.fc1.weight", rank: 2)[0]
        configuration.numAttentionHeads = try Self.headRule.heads(of: tokens[1], file: shapes.file)
        configuration.hiddenAct = naming == .openCLIP ? .gelu : .quickGELU
        configuration.eosTokenID = 2                                     // the largest id ends the text, whatever the vocabulary
        configuration.projectionDim = projects ? try shapes.shape("text_projection.weight", rank: 2)[0] : tokens[1]
        configuration.architectures = [projects ? "CLIPTextModelWithProjection" : "CLIPTextModel"]
        return configuration
    }
}
