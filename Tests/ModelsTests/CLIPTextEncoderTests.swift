import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite struct CLIPTextEncoderTests {
    @Test("states, pooled vector and gradients agree with transformers", arguments: ["clip_quick_gelu", "clip_gelu"], [false, true])
    func agrees(_ name: String, recomputes: Bool) throws {
        let (fixture, golden) = try Fixture<CLIPTextEncoder.Configuration>.load(name)
        let ids = try #require(fixture.ids)
        let encoder = try CLIPTextEncoder(configuration: fixture.config, weights: Weights(FormulaWeights()))
        encoder.recomputes = recomputes
        encoder.registry.setTrainable(true)
        #expect(FormulaWeights.signature(of: encoder.registry) == fixture.signature)

        for skip in 1...3 {
            #expect(relativeError(encoder.encode(ids, clipSkip: skip), try golden.tensor("skip\(skip)")) < modelTolerance)
        }
        let states = encoder.encode(ids), pooled = encoder.pooled(ids)
        #expect(relativeError(states, try golden.tensor("last")) < modelTolerance)
        #expect(relativeError(pooled, try golden.tensor("pooled")) < modelTolerance)
        let both = encoder.encodeWithPooled(ids, layerFromEnd: 2)
        #expect(relativeError(both.states, try golden.tensor("hidden2")) < modelTolerance)
        #expect(relativeError(both.pooled, try golden.tensor("pooled")) < modelTolerance)

        let objective = (states * FormulaWeights.signed("seed.last", states.shape)).sum()
            + (pooled * FormulaWeights.signed("seed.pooled", pooled.shape)).sum()
        let watched = golden.keys.filter { $0.hasPrefix("weight_gradient.") }.map { String($0.dropFirst("weight_gradient.".count)) }
        let parameters = try watched.map { suffix in try #require(encoder.registry.parameters.first { $0.key.hasSuffix(suffix) }).parameter }
        for (index, gradient) in gradients(of: objective, for: parameters.map(\.tensor)).enumerated() {
            #expect(relativeError(gradient, try golden.tensor("weight_gradient." + watched[index])) < modelTolerance, "\(watched[index])")
        }
    }

    @Test("files without the text_model prefix and with stored position indices are read")
    func prefixes() throws {
        let (fixture, golden) = try Fixture<CLIPTextEncoder.Configuration>.load("clip_quick_gelu")
        let encoder = try CLIPTextEncoder(configuration: fixture.config, weights: Weights(FormulaWeights()))
        let path = FileManager.default.temporaryDirectory.appending(path: "clip-\(UUID()).safetensors").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let tensors = encoder.registry.tensors().map { (name: $0.name.replacingOccurrences(of: "text_model.", with: ""), tensor: $0.tensor) }
        try SafetensorsWriter.write(
            tensors, stored: [StoredTensor(name: "embeddings.position_ids", integers: Array(0..<11))], to: path)
        let read = try CLIPTextEncoder(configuration: fixture.config, weights: Weights(SafetensorsFile(path: path)))
        #expect(relativeError(read.encode(try #require(fixture.ids)), try golden.tensor("last")) < modelTolerance)
        #expect(read.registry.adaptable.map(\.path).contains("text_model.encoder.layers.0.self_attn.q_proj"))
    }
}
