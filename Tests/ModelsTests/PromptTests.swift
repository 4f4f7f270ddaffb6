import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

/// What `make_text.py` wrote: SD WebUI's and sd-scripts' rules, the plain way.
private enum PromptFixture {
    struct Segments: Decodable { let prompt: String, segments: [Part] }
    struct Part: Decodable, Equatable {
        let text: String, weight: Double
        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            (text, weight) = (try list.decode(String.self), try list.decode(Double.self))
        }
    }
    struct Rows: Decodable { let prompt: String, tokenizer: String, webui: [Row], kohya: [String: [[Int]]] }
    struct Row: Decodable {
        let ids: [Int], weights: [Float]
        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            (ids, weights) = (try list.decode([Int].self), try list.decode([Float].self))
        }
    }
    struct States: Decodable { let prompts: [String], config: CLIPTextEncoder.Configuration }

    static func read<Value: Decodable>(_ name: String, as _: Value.Type) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(contentsOf: URL(fileURLWithPath: Golden.path("text/\(name).json"))))
    }

    static func tokenizer(_ name: String) throws -> CLIPTokenizer { try CLIPTokenizer(folder: Golden.path("tokenizers/" + name)) }
}

/// Seconds that this thread computed.
private func processorSeconds(_ body: () -> Void) -> Double {
    func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    let start = now()
    body()
    return now() - start
}

@Suite struct PromptWeightsTests {
    @Test("segments and weights are SD WebUI's, bit by bit")
    func segments() throws {
        let rows = try PromptFixture.read("segments", as: [PromptFixture.Segments].self)
        #expect(rows.count > 500)
        for row in rows {
            let found = PromptWeights.parse(row.prompt)
            #expect(found.count == row.segments.count, "\(row.prompt.debugDescription)")
            for (segment, expected) in zip(found, row.segments) {
                #expect(segment.text.unicodeScalars.elementsEqual(expected.text.unicodeScalars) && segment.weight == expected.weight,
                    "\(row.prompt.debugDescription): \(segment), expected \(expected)")
            }
        }
    }

    @Test("a number that is none is text, other scripts' digits are digits", arguments: [
        ("(a:1.2.3)", [PromptWeights.Segment("a:1.2.3", 1.1)]), ("(a:.)", [.init("a:.", 1.1)]), ("(a:+)", [.init("a:+", 1.1)]),
        ("(a:١.٥)", [.init("a", 1.5)]), ("(a:\u{2003}2\u{a0})", [.init("a", 2)]), ("(a:" + String(repeating: "9", count: 400) + ")",
            [.init("a:" + String(repeating: "9", count: 400), 1.1)]),
    ])
    func numbers(prompt: String, expected: [PromptWeights.Segment]) { #expect(PromptWeights.parse(prompt) == expected) }

    @Test("a hundred thousand brackets are read in a moment, and no weight is boundless", arguments: ["(a", "[a", "(a[a", "(", "a:", "(a:9)", "((a:9)", "\\(", "BREAK "])
    func hostile(piece: String) {
        let prompt = String(repeating: piece, count: 100_000) + String(repeating: ":999)", count: 1_000) + String(repeating: ")]", count: 100_000)
        var segments: [PromptWeights.Segment] = []
        let seconds = processorSeconds { segments = PromptWeights.parse(prompt) }
        #expect(seconds < 2)                                             // a quadratic reading takes minutes
        #expect(segments.allSatisfy { $0.weight.isFinite && abs($0.weight) <= 1e6 })
    }

    @Test("weighted states have the mean they had; rows without weights are left alone")
    func apply() {
        let states = Tensor.testNormal([2, 5, 3], seed: 3) + 0.5
        let weighted = PromptWeights.apply([[1, 1.5, -0.5, 1, 2], [1, 1, 1, 1, 1]], to: states)
        let rows = weighted.split(axis: 0, sizes: [1, 1]), plain = states.split(axis: 0, sizes: [1, 1])
        expectClose(rows[0].mean(), plain[0].mean(), relative: 1e-6)
        #expect(rows[1].array == plain[1].array)
        let ratio = zip(rows[0].array, plain[0].array).map { $0 / $1 }
        expectClose([Double(ratio[3] / ratio[0]), Double(ratio[6] / ratio[0])], [1.5, -0.5], relative: 1e-5)
        #expect(PromptWeights.apply([[0, 0], [1, 1]], to: .ones([2, 2, 3])).array == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    }

    @Test("a mean thousands of times smaller than the states is brought back to the last digit", arguments: UInt64(1)...6)
    func cancelling(seed: UInt64) {
        let length = 77, width = 64, noise = Tensor.testNormal([1, length, width], seed: seed)
        let states = noise - noise.mean() + 1e-4
        let weights = (0..<length).map { Float($0 % 5 == 0 ? 1.4 : $0 % 7 == 0 ? -0.3 : 1) }
        let values = states.array.map(Double.init), weighted = values.indices.map { values[$0] * Double(weights[$0 / width]) }
        let ratio = values.reduce(0, +) / weighted.reduce(0, +)
        let found = PromptWeights.apply([weights], to: states).array.map(Double.init)
        expectClose(found, weighted.map { $0 * ratio }, relative: 2e-7)
    }
}

@Suite struct PromptTokensTests {
    @Test("rows and weights are SD WebUI's, rows of long captions sd-scripts'")
    func rows() throws {
        let fixtures = try PromptFixture.read("rows", as: [PromptFixture.Rows].self)
        let tokenizers = ["clip": try PromptFixture.tokenizer("clip"), "clip-pad": try PromptFixture.tokenizer("clip-pad")]
        for row in fixtures {
            let tokenizer = try #require(tokenizers[row.tokenizer])
            let tokens = PromptTokens(row.prompt, tokenizer: tokenizer, rule: .webUI)
            #expect(tokens.ids == row.webui.map(\.ids), "\(row.tokenizer), \(row.prompt.debugDescription)")
            #expect(tokens.weights == row.webui.map(\.weights), "\(row.tokenizer), \(row.prompt.debugDescription)")
            for (maximum, ids) in row.kohya {
                let tokens = PromptTokens(row.prompt, tokenizer: tokenizer, rule: .kohya(maximumTokens: try #require(Int(maximum))))
                #expect(tokens.ids == ids && !tokens.isWeighted, "\(row.tokenizer), \(maximum), \(row.prompt.debugDescription)")
            }
        }
        #expect(fixtures.contains { $0.webui.count > 2 } && fixtures.contains { $0.kohya.count == 3 })
    }

    @Test("a prompt without brackets is what plain encoding makes of it", arguments: ["clip", "clip-pad"])
    func plain(name: String) throws {
        let tokenizer = try PromptFixture.tokenizer(name)
        for prompt in ["", "a glossy red sphere", "立方体, isometric: a view!", String(repeating: "cube ", count: 75)] {
            for rule in [PromptTokens.Rule.webUI, .kohya(maximumTokens: 75)] {
                #expect(PromptTokens(prompt, tokenizer: tokenizer, rule: rule).ids == [tokenizer.encode(prompt)], "\(prompt)")
            }
        }
    }

    @Test("a short prompt is given rows without text beside a long one")
    func padded() throws {
        let tokenizer = try PromptFixture.tokenizer("clip")
        let tokens = PromptTokens("a (red) cube", tokenizer: tokenizer, rule: .webUI)
        let padded = tokens.padded(toRows: 3, tokenizer: tokenizer)
        #expect(padded.ids == tokens.ids + [tokenizer.encode(""), tokenizer.encode("")])
        #expect(padded.weights == tokens.weights + [[Float]](repeating: [Float](repeating: 1, count: 77), count: 2))
    }
}

@Suite struct TextConditioningTests {
    static func parts() throws -> (prompts: [String], tokenizer: CLIPTokenizer, encoder: CLIPTextEncoder) {
        let fixture = try PromptFixture.read("states", as: PromptFixture.States.self)
        return (fixture.prompts, try PromptFixture.tokenizer("clip"), try CLIPTextEncoder(configuration: fixture.config, weights: Weights(FormulaWeights())))
    }

    @Test("weighted states of several rows are SD WebUI's")
    func webUI() throws {
        let (prompts, tokenizer, encoder) = try Self.parts()
        let golden = try Golden("text/states.safetensors")
        let conditioning = TextConditioning(tokenizer: tokenizer, encoder: encoder, rule: .webUI)
        for (index, prompt) in prompts.enumerated() {
            #expect(relativeError(conditioning([prompt]).context, try golden["webui.\(index)"]) < modelTolerance)
        }
        let together = conditioning(prompts).context
        #expect(together.shape == [2, 77 * conditioning.tokens(prompts)[0].ids.count, 8])
        #expect(relativeError(together.sliced(axis: 0, from: 0, to: 1), try golden["webui.0"]) < modelTolerance)
    }

    @Test("states of long captions are sd-scripts'", arguments: [75, 150, 225])
    func kohya(maximum: Int) throws {
        let (prompts, tokenizer, encoder) = try Self.parts()
        let golden = try Golden("text/states.safetensors")
        let states = TextConditioning(tokenizer: tokenizer, encoder: encoder, rule: .kohya(maximumTokens: maximum))(prompts).context
        #expect(states.shape == [2, maximum + 2, 8])
        for index in prompts.indices {
            let row = states.sliced(axis: 0, from: index, to: index + 1)
            #expect(relativeError(row, try golden["kohya.\(index).\(maximum)"]) < modelTolerance)
        }
    }

    @Test("a plain prompt's states are the encoder's own, bit by bit; the pooled vector is the first row's")
    func plain() throws {
        let (_, tokenizer, encoder) = try Self.parts()
        let conditioning = TextConditioning(tokenizer: tokenizer, encoder: encoder, clipSkip: 2, rule: .webUI)
        #expect(conditioning(["a red cube"]).context.array == encoder.encode([tokenizer.encode("a red cube")], clipSkip: 2).array)
        let pooling = TextConditioning(tokenizer: tokenizer, rule: .webUI) { encoder.encodeWithPooled($0, layerFromEnd: 2) }
        let long = "a red cube BREAK a (blue) sphere"
        let states = pooling(["a cube", long])
        #expect(states.context.shape == [2, 154, 8] && states.pooled?.shape == [2, 8])
        let first = encoder.pooled([tokenizer.encode("a cube"), tokenizer.encode("a red cube")])
        #expect(relativeError(try #require(states.pooled), first) < modelTolerance)
    }
}
