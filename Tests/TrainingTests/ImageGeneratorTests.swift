import Adapters
import Diffusion
import Training
import Testing

@Suite("ImageGenerator") struct ImageGeneratorTests {
    let generator: ImageGenerator
    init() throws { generator = ImageGenerator(try TinyStudio.makeModel()) }

    func prompt(_ text: String, seed: UInt64 = 1, _ change: (inout SamplePrompt) -> Void = { _ in }) -> SamplePrompt {
        var prompt = SamplePrompt(text, width: 16, height: 24, seed: seed, guidanceScale: 3, steps: 3, sampler: .euler)
        change(&prompt)
        return prompt
    }

    @Test("the same seed draws the same picture, of the size asked for", arguments: SamplerKind.allCases) func reproducible(sampler: SamplerKind) throws {
        var one = prompt("cube") { $0.sampler = sampler }
        one.steps = 4                                        // PNDM's class default begins with three Runge–Kutta steps
        var other = one
        other.seed = 2
        let a = try generator.generate([one])[0], b = try generator.generate([one])[0], c = try generator.generate([other])[0]
        #expect(a == b && a.pixels != c.pixels && a.pixels.width == 16 && a.pixels.height == 24 && a.prompt == one)
    }

    @Test("a picture does not depend on those drawn with it") func batches() throws {
        let prompts = [prompt("cube"), prompt("ball", seed: 5), prompt("cone") { $0.steps = 2 }, prompt("cube", seed: 9) { $0.negative = "red" }]
        let together = try generator.generate(prompts)
        var single = generator
        single.batchSize = 1
        for (image, alone) in zip(together, try single.generate(prompts)) {
            #expect(image.prompt == alone.prompt)
            // Matrix products of another height may round differently in the last bit, a byte at most.
            #expect(zip(image.pixels.rgb, alone.pixels.rgb).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
        }
    }

    @Test("guidance, negative words and the noise's origin matter") func settings() throws {
        let base = try generator.generate([prompt("cube")])[0].pixels
        #expect(try generator.generate([prompt("cube") { $0.guidanceScale = 1 }])[0].pixels != base)
        #expect(try generator.generate([prompt("cube") { $0.negative = "blurry" }])[0].pixels != base)
        #expect(try generator.generate([prompt("cube") { $0.rng = .nvidia }])[0].pixels != base)
    }

    @Test("a missing seed and sampler are filled in and told") func completed() throws {
        let image = try generator.generate([SamplePrompt("cube", width: 16, height: 16, steps: 1)])[0]
        #expect(image.prompt.seed != nil && image.prompt.sampler == .eulerAncestral)
        #expect(try generator.generate([]).isEmpty)
    }

    @Test("progress counts evaluations, and what it throws ends the drawing") func cancelling() throws {
        var seen: [Int] = []
        #expect(throws: GenerationError.cancelled) {
            try generator.generate([prompt("cube"), prompt("ball") { $0.steps = 4 }]) { progress in
                seen.append(progress.done)
                #expect(progress.total == 7)
                if progress.done == 5 { throw GenerationError.cancelled }
            }
        }
        #expect(seen == [1, 2, 3, 4, 5])
    }

    @Test("sizes and prompts that cannot be drawn are refused before anything is") func invalid() throws {
        #expect(throws: GenerationError.invalidSize(width: 17, height: 24, multiple: 2, nearest: "18×24")) { try generator.generate([prompt("a") { $0.width = 17 }]) }
        #expect(throws: GenerationError.self) { try generator.generate([prompt("a") { $0.width = 0 }]) }
        #expect(throws: GenerationError.tooManyPixels(width: 8192, height: 8192, limit: 2048 * 2048)) {
            try generator.generate([prompt("a") { ($0.width, $0.height) = (8192, 8192) }])
        }
        #expect(throws: GenerationError.promptTooLong(characters: 5000, limit: 2000)) { try generator.generate([prompt(String(repeating: "x", count: 5000))]) }
        #expect(throws: DiffusionError.stepsOutOfRange(5000, allowed: 1...1000)) { try generator.generate([prompt("a") { $0.steps = 5000 }]) }
    }
}
