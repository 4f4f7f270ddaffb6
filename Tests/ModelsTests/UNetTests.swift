import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite struct UNetTests {
    static let cases = [
        ("unet_sd1", [2, 8, 8, 4]), ("unet_sd2", [2, 12, 10, 4]), ("unet_sdxl", [2, 8, 6, 4]), ("unet_variants", [2, 8, 8, 4]),
        ("unet_no_middle", [2, 4, 4, 4]), ("unet_odd", [2, 11, 13, 4]), ("unet_odd_unpadded", [2, 11, 13, 4]),
    ]

    @Test("outputs and gradients agree with diffusers", arguments: cases, [false, true])
    func agrees(_ item: (name: String, shape: [Int]), recomputes: Bool) throws {
        let (fixture, golden) = try Fixture<UNet.Configuration>.load(item.name)
        let unet = try UNet(configuration: fixture.config, weights: Weights(FormulaWeights()))
        unet.recomputes = recomputes
        unet.registry.setTrainable(true)
        #expect(FormulaWeights.signature(of: unet.registry) == fixture.signature)

        let latents = FormulaWeights.signed("latents", item.shape).trackingGradient()
        let context = FormulaWeights.signed("context", [2, 7, 24]).trackingGradient()
        let pooled = FormulaWeights.signed("pooled", [2, 20]).trackingGradient()
        let added = fixture.config.additionEmbedType.map { _ in
            AddedConditions(pooled: pooled, sizes: [
                SizeConditioning(original: (64, 48), crop: (0, 8), target: (96, 96)), SizeConditioning(original: (128, 64), crop: (3, 0), target: (64, 128)),
            ])
        }
        let output = unet(latents, timesteps: [3, 741.5], context: context, added: added)
        let watched = golden.keys.filter { $0.hasPrefix("weight_gradient.") }
        let parameters = unet.registry.parameters.filter { watched.contains("weight_gradient." + $0.key) }
        let found = gradients(
            of: output, seed: FormulaWeights.signed("seed", output.shape), for: [latents, context, pooled] + parameters.map(\.parameter.tensor))

        #expect(relativeError(output, try golden.tensor("output")) < modelTolerance)
        #expect(relativeError(found[0], try golden.tensor("gradient.latents")) < modelTolerance)
        #expect(relativeError(found[1], try golden.tensor("gradient.context")) < modelTolerance)
        if added != nil { #expect(relativeError(found[2], try golden.tensor("gradient.pooled")) < modelTolerance) }
        #expect(parameters.count == watched.count)
        for (index, entry) in parameters.enumerated() {
            let expected = try golden.tensor("weight_gradient." + entry.key)
            #expect(relativeError(found[3 + index], expected) < modelTolerance, "\(entry.key)")
        }
    }

    @Test("keys and values kept for a context change nothing")
    func contextCache() throws {
        let (fixture, golden) = try Fixture<UNet.Configuration>.load("unet_sd1")
        let unet = try UNet(configuration: fixture.config, weights: Weights(FormulaWeights()))
        let latents = FormulaWeights.signed("latents", [2, 8, 8, 4]), context = FormulaWeights.signed("context", [2, 7, 24])
        let cache = ContextCache()
        for _ in 0..<2 {
            let output = unet(latents, timesteps: [3, 741.5], context: context, cache: cache)
            #expect(relativeError(output, try golden.tensor("output")) < modelTolerance)
        }
    }

    @Test("an adapter's output is added at the layer whose path it was placed on")
    func adapters() throws {
        final class Doubling: LayerAdapter {
            let layer: any AdaptableLayer
            init(_ layer: any AdaptableLayer) { self.layer = layer }
            func added(_ x: Tensor, to output: Tensor) -> Tensor { x.linear(layer.weight.tensor, addend: output) }
        }
        let (fixture, _) = try Fixture<UNet.Configuration>.load("unet_sd1")
        let unet = try UNet(configuration: fixture.config, weights: Weights(FormulaWeights()))
        let paths = unet.registry.adaptable.map(\.path)
        for path in [
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_out.0",
            "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj", "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
            "mid_block.attentions.0.proj_in", "down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv", "time_embedding.linear_1",
        ] { #expect(paths.contains(path), "\(path)") }

        let latents = FormulaWeights.signed("latents", [2, 8, 8, 4]), context = FormulaWeights.signed("context", [2, 7, 24])
        let base = unet(latents, timesteps: [3, 741.5], context: context)
        let layer = try #require(unet.registry.adaptable.first { $0.path == "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj" }?.layer)
        layer.adapters = [Doubling(layer)]
        let adapted = unet(latents, timesteps: [3, 741.5], context: context)
        layer.adapters = []
        layer.weight.value = layer.weight.value * 2
        let merged = unet(latents, timesteps: [3, 741.5], context: context)
        #expect(relativeError(adapted, merged) < modelTolerance)
        #expect(relativeError(adapted, base) > 0.01)
    }

    @Test("a configuration with a part that is not built here is refused by key and value", arguments: [
        (#"{"class_embed_type": "timestep"}"#, "class_embed_type"), (#"{"resnet_time_scale_shift": "scale_shift"}"#, "resnet_time_scale_shift"),
        (#"{"encoder_hid_dim": 1024}"#, "encoder_hid_dim"), (#"{"addition_embed_type": "image"}"#, "addition_embed_type"),
        (#"{"down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"]}"#, "down_block_types"),
        (#"{"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}"#, "mid_block_type"),
    ])
    func unsupported(_ json: String, key: String) throws {
        let error = #expect(throws: ConfigurationError.self) {
            let configuration = try JSONDecoder().decode(UNet.Configuration.self, from: Data(json.utf8))
            var small = configuration
            small.blockOutChannels = [32, 32, 32, 32]
            _ = try UNet(configuration: small, weights: Weights(FreshWeights(seed: 1)))
        }
        guard case .unsupported(let found, _, _) = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(found == key)
    }

    @Test("sizes that do not fit are refused", arguments: [
        #"{"block_out_channels": [30, 60, 120, 120]}"#, #"{"attention_head_dim": [5, 10]}"#, #"{"layers_per_block": 0}"#,
        #"{"block_out_channels": [64, 128]}"#, #"{"attention_head_dim": 7}"#,
    ])
    func invalid(_ json: String) throws {
        let configuration = try JSONDecoder().decode(UNet.Configuration.self, from: Data(json.utf8))
        #expect(throws: ConfigurationError.self) { try UNet(configuration: configuration, weights: Weights(FreshWeights(seed: 1))) }
    }

    @Test("a configuration written and read back is the same")
    func configurationRoundTrip() throws {
        for (name, _) in Self.cases {
            let configuration = try Fixture<UNet.Configuration>.load(name).0.config
            let data = try JSONEncoder().encode(configuration)
            #expect(try JSONDecoder().decode(UNet.Configuration.self, from: data) == configuration)
        }
    }
}
