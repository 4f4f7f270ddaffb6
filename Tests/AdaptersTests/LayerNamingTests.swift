import Adapters
import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite("LayerNaming") struct LayerNamingTests {
    /// A family's UNet at full depth with few channels, and the hash of its sorted `path=LDM's path` lines.
    private struct Family: Decodable {
        let config: UNet.Configuration, count: Int, layers: Int, signature: String
    }

    private func registry(_ name: String) throws -> (Registry, Family) {
        let families = try JSONDecoder().decode([String: Family].self, from: Data(contentsOf: URL(filePath: TinyModel.path("kinds/names.json"))))
        let family = try #require(families[name])
        return (try UNet(configuration: family.config, weights: Weights(FreshWeights(seed: 1))).registry, family)
    }

    private func hash(_ text: String) -> String {
        var hash = FNV1a()
        hash.add(text)
        return hash.digits
    }

    @Test("every layer's LDM path is the one that diffusers reads, and comes back", arguments: [("sd1", UNetLayout.standard), ("sd2", .standard), ("sdxl", .xl)])
    func layouts(name: String, layout: UNetLayout) throws {
        let (registry, family) = try registry(name)
        let paths = (registry.adaptable.map(\.path) + registry.norms.map(\.path)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(paths.count == family.count && registry.adaptable.count == family.layers)
        #expect(UNetLayout(paths: paths) == layout)
        let lines = try paths.map { path in
            let ldm = try #require(layout.ldmPath(of: path))
            #expect(layout.diffusersPath(of: ldm) == path)
            return "\(path)=\(ldm)\n"
        }
        #expect(hash(lines.joined()) == family.signature)
    }

    @Test("a name gives back its part and path, for every layer of the three families", arguments: ["sd1", "sd2", "sdxl"])
    func namesAndBack(name: String) throws {
        let (registry, _) = try registry(name), model = AdaptableModel(unet: registry)
        #expect(model.naming == (name == "sdxl" ? .xl : .standard))
        var seen: Set<String> = []
        for path in registry.adaptable.map(\.path) + registry.norms.map(\.path) {
            let kohya = model.naming.name(of: .unet, path: path)
            #expect(seen.insert(kohya).inserted)
            for spelling in [kohya, AdapterPart.unet.name(ofLayer: path)] {
                let found = try #require(model.naming.layer(named: spelling))
                #expect(found.part == .unet && found.path == path, "\(spelling)")
            }
        }
    }

    @Test("text encoders' names", arguments: [
        (LayerNaming.standard, AdapterPart.textEncoder, "lora_te_text_model_encoder_layers_11_self_attn_out_proj"),
        (.xl, .textEncoder, "lora_te1_text_model_encoder_layers_11_self_attn_out_proj"), (.xl, .textEncoder2, "lora_te2_text_model_encoder_layers_11_self_attn_out_proj"),
    ])
    func textEncoders(naming: LayerNaming, part: AdapterPart, name: String) throws {
        let path = "text_model.encoder.layers.11.self_attn.out_proj"
        #expect(naming.name(of: part, path: path) == name)
        let found = try #require(naming.layer(named: name))
        #expect(found.part == part && found.path == path)
    }

    @Test("SDXL's names as Kohya writes them", arguments: [
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"),
        ("down_blocks.0.downsamplers.0.conv", "lora_unet_input_blocks_3_0_op"), ("mid_block.resnets.1.time_emb_proj", "lora_unet_middle_block_2_emb_layers_1"),
        ("up_blocks.0.upsamplers.0.conv", "lora_unet_output_blocks_2_2_conv"), ("up_blocks.2.resnets.2.conv_shortcut", "lora_unet_output_blocks_8_0_skip_connection"),
    ])
    func xlNames(path: String, name: String) { #expect(LayerNaming.xl.name(of: .unet, path: path) == name) }

    @Test("what is no layer of the UNet has no LDM path, and the reverse") func strangers() {
        for path in ["", "down_blocks", "down_blocks.x.resnets.0.conv1", "down_blocks.0.resnets.0.conv9", "mid_block.resnets.0", "other.0.a.0.b"] {
            #expect(UNetLayout.standard.ldmPath(of: path) == nil, "\(path)")
        }
        for path in ["", "input_blocks", "input_blocks.1.0", "input_blocks.0.1.proj_in", "middle_block.0.what", "output_blocks.1.0.what"] {
            #expect(UNetLayout.standard.diffusersPath(of: path) == nil, "\(path)")
        }
    }
}
