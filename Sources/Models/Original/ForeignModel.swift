import Checkpoints

/// What a file of weights is that is no base model of Stable Diffusion 1, 2 or XL, told by its tensors' names and shapes.
struct ForeignModel: Equatable {
    let name: String
    let wayOut: String

    /// - Returns: nil for a base model, and for what is not known.
    init?(_ file: any WeightFile) {
        let keys = file.keys, patterns = Self.patterns(keys)
        if let row = Self.rows.first(where: { row in patterns.contains { key in row.marks.contains { $0.matches(key) } } }) {
            (name, wayOut) = (row.name, row.wayOut)
        } else if keys.contains(where: { $0.hasPrefix("conditioner.embedders.0.model.") }) {   // its second text encoder alone
            (name, wayOut) = ("Stable Diffusion XL's refiner", "Load the base model of the same release.")
        } else if let extended = Self.extendedInput(file) {
            (name, wayOut) = (extended, Self.baseModel)
        } else if !keys.contains(where: { $0.hasPrefix(OriginalFile.unetPrefix) }), let part = Self.lonePart(file, keys) {
            self = part
        } else {
            return nil
        }
    }

    /// Keys with every number a zero: a model's layers share a dozen of them.
    private static func patterns(_ keys: [String]) -> [String] {
        Set(keys.map { key in key.split(separator: ".").map { $0.allSatisfy(\.isNumber) ? "0" : $0 }.joined(separator: ".") }).sorted()
    }

    private init(_ name: String, _ wayOut: String) { (self.name, self.wayOut) = (name, wayOut) }

    private enum Mark {
        case starts(String), holds(String)

        func matches(_ key: String) -> Bool {
            switch self {
            case .starts(let text): key.hasPrefix(text)
            case .holds(let text): key.contains(text)
            }
        }
    }

    private static let baseModel = "Load a base model of Stable Diffusion 1.x, 2.x or XL (text to picture)."
    private static let otherFamily = "Models of this family cannot be trained here: load one of Stable Diffusion 1.x, 2.x or XL."
    private static let adapter = "Load the base model that it was made for with %model, then the adapter with %load."

    /// Sure signs first; a file may show several. Numbers are zeros.
    private static let rows: [(name: String, marks: [Mark], wayOut: String)] = [
        ("an adapter (LoRA, LoCon)", [.holds("lora_down."), .holds("lora_up."), .holds(".lora_A."), .holds(".lora_B."), .holds("_lora.down."), .holds(".lora.down.")], adapter),
        ("an adapter (LoHa)", [.holds(".hada_w1_a")], adapter),
        ("an adapter (LoKr)", [.holds(".lokr_w1"), .holds(".lokr_w2")], adapter),
        ("a ControlNet", [.starts("control_model."), .holds("controlnet_cond_embedding."), .holds("controlnet_down_blocks."), .starts("zero_convs."), .starts("input_hint_block."), .starts("lllite_")], baseModel),
        ("an IP-Adapter", [.starts("ip_adapter."), .starts("image_proj.")], baseModel),
        ("a T2I-Adapter", [.starts("adapter.body."), .starts("body.0.block1.")], baseModel),
        ("an AnimateDiff motion module", [.holds("motion_modules."), .holds("temporal_transformer.")], baseModel),
        ("a Stable Video Diffusion model", [.holds(".time_stack."), .holds(".time_mixer.mix_factor")], otherFamily),
        ("a Stable Diffusion 3 model", [.holds("joint_blocks."), .holds("transformer_blocks.0.ff_context.")], otherFamily),
        ("a Flux model", [.holds("double_blocks."), .holds("single_blocks."), .holds("single_transformer_blocks.")], otherFamily),
        ("a Stable Cascade model", [.holds("clip_txt_pooled_mapper."), .holds("effnet_mapper.")], otherFamily),
        ("a diffusion transformer (PixArt, Sana, Lumina, Qwen, Wan or a relative)", [.holds("adaln_single."), .holds("t_block."), .holds("x_embedder."), .holds("pos_embed.proj."), .holds("cap_embedder."), .holds("patch_embedding."), .holds("patchify_proj."), .holds("adaLN_modulation."), .holds("img_mod."), .holds("caption_projection.")], otherFamily),
        ("an unCLIP model, made for pictures as prompts", [.starts("noise_augmentor.")], baseModel),
        ("a textual inversion embedding", [.starts("emb_params"), .starts("string_to_param")], baseModel),
        ("an upscaler of ESRGAN's kind", [.holds("RDB1."), .holds("rdb1."), .starts("model.0.sub.")], baseModel),
        ("a small autoencoder (TAESD)", [.starts("taesd_")], baseModel),
    ]

    /// A UNet that takes more than latents: the number of its input channels tells what for.
    private static func extendedInput(_ file: any WeightFile) -> String? {
        guard let shape = file.entries[OriginalFile.unetPrefix + "input_blocks.0.0.weight"]?.shape, shape.count == 4 else { return nil }
        let latents = file.entries[AutoencoderKL.originalPrefix + "decoder.conv_in.weight"]?.shape.dropFirst().first ?? 4
        switch shape[1] {
        case latents: return nil
        case 2 * latents + 1: return "an inpainting model (\(shape[1]) input channels)"
        case 2 * latents: return "an instruction model (InstructPix2Pix, \(shape[1]) input channels)"
        case latents + 1: return "a depth-guided model (\(shape[1]) input channels)"
        case latents + 3: return "an upscaling model (\(shape[1]) input channels)"
        default: return "a model with \(shape[1]) input channels"
        }
    }

    /// One part of a model.
    private static func lonePart(_ file: any WeightFile, _ keys: [String]) -> ForeignModel? {
        func holds(_ prefix: String) -> Bool { keys.contains { $0.hasPrefix(prefix) } }
        if AutoencoderKL.weights(in: file) != nil, !holds("conditioner."), !holds("cond_stage_model.") {
            return ForeignModel("an autoencoder (VAE) alone", "Load a base model, and give this file as its --vae.")
        }
        if holds("input_blocks.") || (holds("down_blocks.") && holds("time_embedding.")) {
            return ForeignModel("a UNet alone", "Use a release that holds the whole model: UNet, text encoder and autoencoder.")
        }
        if holds("text_model.") || holds("transformer.resblocks.") || (holds("encoder.block.") && holds("shared.")) {
            return ForeignModel("a text encoder alone", "Use a release that holds the whole model: UNet, text encoder and autoencoder.")
        }
        return nil
    }
}
