import Diffusion
import Foundation
import TensorCore
import Testing

@Suite("Samplers") struct SamplerTests {
    struct Case: Decodable {
        let config_name: String, config: SchedulerConfiguration, sampler: String, steps: Int, seeds: [UInt64]
        let initial_noise_scale: Float, timesteps: [Float], latents: [Float]
    }

    /// The stand-in for a denoiser that `make_diffusion.py` uses.
    static func predictor(_ x: Tensor, _ t: Float) -> Tensor {
        Tensor(x.array.map { 0.8 * tanhf($0 * 0.5) + 0.2 * sinf($0 * 1.7 + Float(Double(t) / 321)) + 0.05 * cosf(Float(Double(t) / 97)) }, shape: x.shape)
    }

    @Test("latents are diffusers' for the same seed", arguments: SamplerKind.allCases)
    func followsDiffusers(kind: SamplerKind) throws {
        var seen = 0
        for item in try fixture("samplers", as: [Case].self) where item.sampler == kind.rawValue {
            let what = "\(item.config_name) \(item.sampler) \(item.steps) steps"
            let sampler = try kind.sampler(NoiseSchedule(item.config), steps: item.steps)
            #expect(relativeError(sampler.timesteps, item.timesteps) < 1e-6, "\(what): \(sampler.timesteps) \(item.timesteps)")
            #expect(abs(sampler.initialNoiseScale - item.initial_noise_scale) < 1e-5 * item.initial_noise_scale, "\(what)")
            var noise = item.seeds.count == 1 ? LatentNoise(NoiseGenerator(seed: item.seeds[0])) : LatentNoise(seeds: item.seeds)
            let latents = sampler.sample([2, 2, 3, 4], noise: &noise, predict: Self.predictor).array
            // At zero terminal SNR the first σ is 4096: unit differences shrink by it and grow again.
            let tolerance: Float = item.config.rescaleBetasZeroSNR ? 1e-3 : 2e-5
            let error = relativeError(latents, item.latents)
            #expect(error < tolerance, "\(what): off by \(error)")
            seen += 1
        }
        #expect(seen >= 20)
    }

    @Test("steps outside the schedule are refused", arguments: [0, -3, 1001]) func stepRange(steps: Int) {
        for kind in SamplerKind.allCases {
            #expect(throws: DiffusionError.stepsOutOfRange(steps, allowed: 1...1000)) { try kind.sampler(NoiseSchedule(), steps: steps) }
        }
    }

    @Test("every number of steps up to the schedule's length can be laid out", arguments: SamplerKind.allCases)
    func everyStepCount(kind: SamplerKind) throws {
        for spacing in TimestepSpacing.allCases {
            let schedule = NoiseSchedule(SchedulerConfiguration(trainTimesteps: 60, timestepSpacing: spacing, stepsOffset: 1))
            for steps in 1...60 {
                let sampler = try kind.sampler(schedule, steps: steps)
                #expect(sampler.timesteps.allSatisfy { (0...60).contains($0) })
                #expect(zip(sampler.timesteps, sampler.timesteps.dropFirst()).allSatisfy { $0 >= $1 })
            }
        }
    }

    @Test("what the denoiser throws ends the sampling") func interrupted() throws {
        struct Stop: Error {}
        let sampler = try SamplerKind.euler.sampler(NoiseSchedule(), steps: 5)
        var noise = LatentNoise(seeds: [1]), calls = 0
        #expect(throws: Stop.self) {
            try sampler.sample([1, 2, 2, 4], noise: &noise) { x, _ in
                calls += 1
                if calls == 3 { throw Stop() }
                return x
            }
        }
        #expect(calls == 3)
    }

    @Test("names of sd-scripts, WebUI and diffusers are understood", arguments: [
        ("k_euler_a", SamplerKind.eulerAncestral), ("Euler a", .eulerAncestral), ("DPM++ 2M Karras", .dpmSolverMultistepKarras),
        ("dpmsolver++", .dpmSolverMultistep), ("DDIM", .ddim), ("EulerDiscreteScheduler", .euler), ("dpm++_2m_karras", .dpmSolverMultistepKarras),
    ]) func names(name: String, kind: SamplerKind) throws {
        #expect(try SamplerKind(named: name) == kind)
    }

    @Test("an unknown name is answered with the nearest") func unknownName() {
        #expect(throws: DiffusionError.unknownSampler("eular", nearest: "euler")) { try SamplerKind(named: "eular") }
    }
}

@Suite("SamplePrompt") struct SamplePromptTests {
    @Test("flags are read, clamped and rounded") func flags() throws {
        let p = try SamplePrompt(line: "a red cube, isometric --n blurry, low quality --w 131 --H 20 --d 42 --l 3.5 --s 5000 --ss k_euler_a")
        #expect(p == SamplePrompt("a red cube, isometric", negative: "blurry, low quality", width: 128, height: 64, seed: 42, guidanceScale: 3.5, steps: 1000, sampler: .eulerAncestral))
    }

    @Test("what a line does not say is the default") func defaults() throws {
        let p = try SamplePrompt(line: "cube", defaults: SamplePrompt("", width: 128, height: 128, seed: 1, steps: 12))
        #expect(p == SamplePrompt("cube", width: 128, height: 128, seed: 1, guidanceScale: 7.5, steps: 12))
        #expect(try SamplePrompt(line: "cube --s -4").steps == 1)
    }

    @Test("comments and blank lines are skipped") func lines() throws {
        let prompts = try SamplePrompt.parse(lines: "\n# note\n a --d 1\r\n\nb --n\n")
        #expect(prompts.map(\.text) == ["a", "b"])
        #expect(prompts.map(\.seed) == [1, nil])
    }

    @Test("a dash inside the text is text") func dashes() throws {
        #expect(try SamplePrompt(line: "low-poly cube -- 2 colours --s 3").text == "low-poly cube -- 2 colours")
    }

    @Test("bad flags and values are named", arguments: [
        ("a --q 3", "q"), ("a --w", "w"), ("a --w big", "w"), ("a --d -1", "d"), ("a --d 4294967296", "d"), ("a --l nan", "l"), ("a --s 1.5", "s"), ("a --w 99999999999999999999", "w"),
    ]) func invalid(line: String, flag: String) {
        do {
            _ = try SamplePrompt(line: line)
            Issue.record("accepted \(line)")
        } catch {
            #expect("\(error)".contains("--\(flag)") && "\(error)".contains(line))
        }
        #expect(throws: DiffusionError.unknownSampler("eulr", nearest: "euler")) { try SamplePrompt(line: "a --ss eulr") }
    }
}
