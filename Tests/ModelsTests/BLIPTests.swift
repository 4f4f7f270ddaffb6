import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite struct BLIPTests {
    static func load() throws -> (Fixture<BLIP.Configuration>, SafetensorsFile, BLIP) {
        let (fixture, golden) = try Fixture<BLIP.Configuration>.load("blip")
        return (fixture, golden, try BLIP(configuration: fixture.config, weights: Weights(FormulaWeights())))
    }

    @Test("picture states, logits and gradients agree with transformers", arguments: [false, true])
    func agrees(recomputes: Bool) throws {
        let (fixture, golden, blip) = try Self.load()
        blip.recomputes = recomputes
        #expect(FormulaWeights.signature(of: blip.registry) == fixture.signature)
        let pixels = FormulaWeights.signed("pixels", [2, 16, 16, 3]).trackingGradient()
        let states = blip.encode(pixels)
        let logits = blip.logits(try #require(fixture.ids), picture: states)
        #expect(relativeError(states, try golden.tensor("states")) < modelTolerance)
        #expect(relativeError(logits, try golden.tensor("logits")) < modelTolerance)
        let back = gradients(of: logits, seed: FormulaWeights.signed("seed", logits.shape), for: [pixels])[0]
        #expect(relativeError(back, try golden.tensor("gradient.pixels")) < modelTolerance)
    }

    @Test("greedy and beam search give transformers' tokens")
    func tokens() throws {
        let (fixture, _, blip) = try Self.load()
        let pixels = Tensor.concatenated((0..<6).map { FormulaWeights.signed("picture.\($0)", [1, 16, 16, 3], scale: 3) }, axis: 0)
        for generation in try #require(fixture.generations) {
            var options = BLIP.GenerationOptions()
            options.maximumLength = 14
            if let beams = generation.options["num_beams"] { options.search = .beams(Int(beams)) }
            if let length = generation.options["min_length"] { options.minimumLength = Int(length) }
            options.repetitionPenalty = Float(generation.options["repetition_penalty"] ?? 1)
            options.lengthPenalty = Float(generation.options["length_penalty"] ?? 1)
            let found = blip.generate(pixels, prompt: generation.prompt, options: options)
            #expect(found == generation.rows, "\(generation.options)")
        }
    }

    @Test("nucleus sampling repeats itself for a seed, differs between seeds, and is greedy for a tiny nucleus")
    func nucleus() throws {
        let (_, _, blip) = try Self.load()
        let pixels = FormulaWeights.signed("picture.1", [1, 16, 16, 3], scale: 3)
        func draw(_ topP: Float, _ seed: UInt64) -> [Int] {
            var options = BLIP.GenerationOptions()
            options.search = .nucleus(topP: topP, topK: 50, seed: seed)
            return blip.generate(pixels, options: options)[0]
        }
        #expect(draw(0.9, 42) == draw(0.9, 42))
        #expect(Set((0..<8).map { draw(0.9, $0) }).count > 1)
        #expect(draw(1e-6, 3) == blip.generate(pixels)[0])
    }

    @Test("a search that is cancelled returns what there is")
    func cancelled() throws {
        let (_, _, blip) = try Self.load()
        let pixels = FormulaWeights.signed("picture.1", [1, 16, 16, 3], scale: 3)
        for search in [BLIP.GenerationOptions.Search.greedy, .beams(3)] {
            var options = BLIP.GenerationOptions()
            options.search = search
            #expect(blip.generate(pixels, options: options, isCancelled: { true }) == [[57]])
        }
    }
}
