/// One tensor's key taken apart: the module by Kohya's name, and what the tensor is to it.
struct AdapterKey: Equatable {
    /// `lora_unet_down_blocks_0_attentions_0_proj_in`.
    let module: String
    /// `lora_down.weight`, `alpha`, `hada_w1_a` …
    let ending: String
    /// The module path in dialects that write it with dots; nil for Kohya's names.
    let path: String?

    /// Reads Kohya's and LyCORIS' names, PEFT's, and diffusers' older ones.
    /// - Returns: nil for a key of no dialect.
    init?(_ key: String) {
        if let dot = key.firstIndex(of: "."), Self.prefixes.contains(where: { key[..<dot].hasPrefix($0) }) {
            let ending = String(key[key.index(after: dot)...])
            guard Self.isKnown(ending) else { return nil }
            (module, self.ending, path) = (String(key[..<dot]), ending, nil)
            return
        }
        guard let (scope, ending) = Self.split(key) else { return nil }
        let (part, path) = Self.located(scope)
        (module, self.ending, self.path) = (part.name(ofLayer: path), ending, path)
    }

    private static let prefixes = ["lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lycoris_"]

    /// The tensors of the adapter types that are known, by their endings in Kohya's and LyCORIS' files.
    private static let endings: Set<String> = [
        "alpha", "scalar", "dora_scale", "lora_down.weight", "lora_up.weight", "lora_mid.weight", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b",
        "hada_t1", "hada_t2", "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "diff", "diff_b", "w_norm", "b_norm",
    ]

    /// Also DyLoRA's blocks: `up_list.0`, `down_list.3`.
    private static func isKnown(_ ending: String) -> Bool {
        endings.contains(ending) || block(ending) != nil
    }

    /// The list and the number of a DyLoRA block.
    static func block(_ ending: String) -> (isUp: Bool, index: Int)? {
        for (list, isUp) in [("up_list.", true), ("down_list.", false)] where ending.hasPrefix(list) {
            return Int(ending.dropFirst(list.count)).map { (isUp, $0) }
        }
        return nil
    }

    /// Dotted dialects' endings and what they mean here. `lora_A` may be followed by the adapter's name.
    private static let dotted: [(ending: String, meaning: String)] = [
        ("lora_A.weight", "lora_down.weight"), ("lora_B.weight", "lora_up.weight"),
        ("lora.down.weight", "lora_down.weight"), ("lora.up.weight", "lora_up.weight"),
        ("lora_linear_layer.down.weight", "lora_down.weight"), ("lora_linear_layer.up.weight", "lora_up.weight"),
        ("lora_down.weight", "lora_down.weight"), ("lora_up.weight", "lora_up.weight"), ("lora_mid.weight", "lora_mid.weight"),
        ("lora_magnitude_vector.weight", "dora_scale"), ("lora_magnitude_vector", "dora_scale"), ("dora_scale", "dora_scale"), ("alpha", "alpha"),
    ]

    /// The part of the key that names the module, and the meaning of the rest.
    private static func split(_ key: String) -> (scope: String, ending: String)? {
        for (ending, meaning) in dotted where key.hasSuffix("." + ending) { return (String(key.dropLast(ending.count + 1)), meaning) }
        // diffusers before 0.20: `….processor.to_q_lora.down.weight` stands beside the layer's name, not below it.
        for (ending, meaning) in [("_lora.down.weight", "lora_down.weight"), ("_lora.up.weight", "lora_up.weight"), ("_lora.alpha", "alpha")] where key.hasSuffix(ending) {
            let scope = String(key.dropLast(ending.count))
            return (scope.hasSuffix(".to_out") && !scope.contains("self_attn") ? scope + ".0" : scope, meaning)
        }
        let parts = key.split(separator: ".")
        if parts.count > 3, parts.last == "weight", let side = [("lora_A", "lora_down.weight"), ("lora_B", "lora_up.weight")].first(where: { $0.0 == parts[parts.count - 3] }) {
            return (parts.dropLast(3).joined(separator: "."), side.1)
        }
        return nil
    }

    /// The part of the model and the module path of a dotted scope.
    private static func located(_ scope: String) -> (AdapterPart, String) {
        var path = scope
        if path.hasPrefix("base_model.model.") { path = String(path.dropFirst("base_model.model.".count)) }
        path = path.split(separator: ".").filter { $0 != "processor" }.joined(separator: ".")
        for (prefix, part) in [("unet.", AdapterPart.unet), ("text_encoder.", .textEncoder), ("text_encoder_2.", .textEncoder2)] where path.hasPrefix(prefix) {
            return (part, part == .unet ? String(path.dropFirst(prefix.count)) : textPath(String(path.dropFirst(prefix.count))))
        }
        let isText = path.hasPrefix("text_model.") || path.hasPrefix("encoder.layers.")
        return isText ? (.textEncoder, textPath(path)) : (.unet, path)
    }

    /// diffusers' old names of a text encoder's projections; and the scope that transformers 5 leaves out.
    private static func textPath(_ path: String) -> String {
        var parts = path.split(separator: ".").map(String.init)
        let old = ["to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"]
        if let last = parts.last, let name = old[last] { parts[parts.count - 1] = name }
        if parts.first == "encoder" { parts.insert("text_model", at: 0) }
        return parts.joined(separator: ".")
    }
}

/// What a file seems to be, by its keys, for messages.
enum AdapterFileGuess {
    /// - Returns: nil when nothing is recognised.
    static func name(_ keys: [String]) -> String? {
        let signs: [(String, (String) -> Bool)] = [
            ("an OFT or BOFT adapter", { $0.hasSuffix(".oft_blocks") || $0.contains(".oft_R") }), ("an (IA)³ adapter", { $0.hasSuffix(".on_input") }),
            ("a GLoRA adapter", { $0.hasSuffix(".a1.weight") || $0.hasSuffix(".b1.weight") }),
            ("an adapter of a transformer model (Stable Diffusion 3, Flux …)", {
                ["transformer.", "lora_transformer", "lora_te3_", "diffusion_model.double_blocks", "lora_unet_double_blocks", "lora_unet_single_blocks", "lora_unet_joint_blocks"]
                    .contains(where: $0.hasPrefix)
            }),
            ("a whole checkpoint", { $0.hasPrefix("model.diffusion_model.") || $0.hasPrefix("cond_stage_model.") || $0.hasPrefix("first_stage_model.") }),
            ("a ControlNet", { $0.hasPrefix("control_model.") || $0.hasPrefix("controlnet_") || $0.hasPrefix("input_hint_block") }),
            ("a textual inversion", { $0 == "emb_params" || $0 == "string_to_param" || $0 == "clip_l" || $0 == "clip_g" }),
            ("a UNet's weights", { $0.hasPrefix("down_blocks.") && $0.hasSuffix(".weight") && !$0.contains("lora") }),
            ("a text encoder's weights", { $0.hasPrefix("text_model.") && !$0.contains("lora") }),
            ("an autoencoder's weights", { $0.hasPrefix("encoder.down") || $0.hasPrefix("decoder.up") }),
        ]
        return signs.first { sign in keys.contains(where: sign.1) }?.0
    }
}
