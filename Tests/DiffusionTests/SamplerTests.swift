import Diffusion
import Foundation
import TensorCore
import Testing

@Suite("Samplers") struct SamplerTests {
    struct Cases: Decodable { let configs: [String: SchedulerConfiguration], cases: [Case] }
    struct Case: Decodable {
        let config_name: String, sampler: String, steps: Int, seeds: [UInt64]
        let initial_noise_scale: Float, timesteps: [Float], latents: [Float]
    }

    /// The stand-in for a denoiser that `make_diffusion.py` uses.
    static func predictor(_ x: Tensor, _ t: Float) -> Tensor {
        Tensor(x.array.map { 0.8 * tanhf($0 * 0.5) + 0.2 * sinf($0 * 1.7 + Float(Double(t) / 321)) + 0.05 * cosf(Float(Double(t) / 97)) }, shape: x.shape)
    }

    /// Both sides round to float32 after each operation; normals, tanh and logarithms differ in their last bits and add up over 50 steps.
    static let tolerance: Float = 1e-5
    /// Where the first σ is in the thousands, a prediction is the small difference of large numbers.
    static let terminalTolerance: Float = 1e-3
    /// Very long ancestral steps keep σ′²/σ of σ′, the difference of two squares that agree in nearly all digits; torch's square root is
    /// off by a last bit here and there.
    static let longAncestralTolerance: Float = 3e-4

    static func tolerance(_ kind: SamplerKind, _ config: SchedulerConfiguration, steps: Int) -> Float {
        if config.rescaleBetasZeroSNR || config.betaSchedule == .squaredCosine { return terminalTolerance }
        return [.eulerAncestral, .kdpm2Ancestral].contains(kind) && steps <= 4 ? longAncestralTolerance : tolerance
    }

    @Test("latents are diffusers' for the same seed", arguments: SamplerKind.allCases)
    func followsDiffusers(kind: SamplerKind) throws {
        let fixture = try fixture("samplers", as: Cases.self)
        var families: [String: Int] = [:]
        for item in fixture.cases where item.sampler == kind.rawValue {
            let what = "\(item.config_name) \(item.sampler) \(item.steps) steps", config = try #require(fixture.configs[item.config_name])
            let sampler = try kind.sampler(NoiseSchedule(config), steps: item.steps)
            #expect(relativeError(sampler.timesteps, item.timesteps) < (kind == .kdpm2Ancestral ? 2e-5 : 1e-6), "\(what): \(sampler.timesteps) \(item.timesteps)")
            #expect(abs(sampler.initialNoiseScale - item.initial_noise_scale) < 1e-5 * item.initial_noise_scale, "\(what)")
            var noise = LatentNoise(seeds: item.seeds)
            let latents = sampler.sample([item.seeds.count, 2, 3, 4], noise: &noise, predict: Self.predictor).array
            let error = relativeError(latents, item.latents)
            #expect(error < Self.tolerance(kind, config, steps: item.steps), "\(what): off by \(error)")
            families[item.config_name.hasPrefix("random") ? "random" : item.config_name, default: 0] += 1
        }
        // PNDM's class default needs four steps.
        for family in ["sd15", "sd21_768", "sdxl", "silent"] { #expect(families[family, default: 0] >= 7, "\(family)") }
        #expect(families["random", default: 0] >= 3)
    }

    /// Steps that a sampler takes on a schedule of 60 timesteps: Runge–Kutta steps are three, and LCM has the steps it was distilled on.
    static func allowed(_ kind: SamplerKind) -> ClosedRange<Int> { kind == .pndm ? 4...60 : kind == .lcm ? 1...50 : 1...60 }

    @Test("steps outside the schedule are refused", arguments: [0, -3, 1001]) func stepRange(steps: Int) {
        for kind in SamplerKind.allCases {
            #expect(throws: DiffusionError.stepsOutOfRange(steps, allowed: 1...1000)) { try kind.sampler(NoiseSchedule(), steps: steps) }
        }
        #expect(throws: DiffusionError.stepsOutOfRange(3, allowed: 4...1000)) { try SamplerKind.pndm.sampler(NoiseSchedule(), steps: 3) }
        #expect(throws: DiffusionError.stepsOutOfRange(51, allowed: 1...50)) { try SamplerKind.lcm.sampler(NoiseSchedule(), steps: 51) }
    }

    @Test("every number of steps up to the schedule's length can be laid out", arguments: SamplerKind.allCases)
    func everyStepCount(kind: SamplerKind) throws {
        for spacing in TimestepSpacing.allCases {
            let schedule = NoiseSchedule(SchedulerConfiguration(trainTimesteps: 60, timestepSpacing: spacing, stepsOffset: 1))
            for steps in Self.allowed(kind) {
                let sampler = try kind.sampler(schedule, steps: steps)
                #expect(sampler.timesteps.allSatisfy { (0...60).contains($0) })
                // PNDM rounds the middles of its steps, and the ancestral DPM2 looks below the level that it goes on from.
                if kind != .pndm, kind != .kdpm2Ancestral { #expect(zip(sampler.timesteps, sampler.timesteps.dropFirst()).allSatisfy { $0 >= $1 }) }
            }
        }
    }

    @Test("any size of latents is drawn", arguments: [[1, 1, 1, 4], [1, 3, 5, 4], [2, 7, 9, 4]]) func anySize(shape: [Int]) throws {
        for kind in SamplerKind.allCases {
            var noise = LatentNoise(seeds: Array(0..<UInt64(shape[0])))
            let latents = try kind.sampler(NoiseSchedule(), steps: 5).sample(shape, noise: &noise, predict: Self.predictor)
            #expect(latents.shape == shape && latents.array.allSatisfy(\.isFinite))
        }
    }

    @Test("a picture is the same alone and beside others, noise of both kinds in one batch", arguments: SamplerKind.allCases)
    func batches(kind: SamplerKind) throws {
        let generators = [NoiseGenerator(seed: 3), NoiseGenerator(seed: 3, device: .nvidia)]
        let sampler = try kind.sampler(NoiseSchedule(), steps: 6)
        var noise = LatentNoise(generators)
        let both = sampler.sample([2, 4, 3, 4], noise: &noise, predict: Self.predictor).array
        for (row, generator) in generators.enumerated() {
            var own = LatentNoise([generator])
            #expect(sampler.sample([1, 4, 3, 4], noise: &own, predict: Self.predictor).array == Array(both[(row * 48)..<(row * 48 + 48)]))
        }
        #expect(Array(both.prefix(48)) != Array(both.suffix(48)))
    }

    @Test("what a sampler cannot follow is refused by key", arguments: [
        (SamplerKind.euler, #"{"use_beta_sigmas": true}"#, "use_beta_sigmas"), (.uniPC, #"{"use_flow_sigmas": true}"#, "use_flow_sigmas"),
        (.pndm, #"{"prediction_type": "sample"}"#, "prediction_type"), (.dpmSolverMultistep, #"{"algorithm_type": "dpmsolver"}"#, "algorithm_type"),
        (.uniPC, #"{"predict_x0": false}"#, "predict_x0"), (.euler, #"{"prediction_type": "v_prediction", "timestep_type": "continuous"}"#, "timestep_type"),
    ]) func unsupported(kind: SamplerKind, json: String, key: String) throws {
        let schedule = NoiseSchedule(try SchedulerConfiguration(json: Data(json.utf8)))
        do {
            _ = try kind.sampler(schedule, steps: 10)
            Issue.record("accepted \(json)")
        } catch .unsupportedConfiguration(let found, _, _) {
            #expect(found == key)
        }
        // Another class does not know the key, and a key nobody knows is nothing to it.
        if key != "prediction_type" { #expect(throws: Never.self) { try SamplerKind.ddim.sampler(schedule, steps: 10) } }
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
        ("k_lms", SamplerKind.lms), ("k_euler", .euler), ("k_euler_a", .eulerAncestral), ("k_dpm_2", .kdpm2), ("k_dpm_2_a", .kdpm2Ancestral), ("Euler a", .eulerAncestral),
        ("DPM++ 2M Karras", .dpmSolverMultistepKarras), ("DPM++ 2M SDE", .dpmSolverMultistepSDE), ("DPM2 a", .kdpm2Ancestral), ("DDIM", .ddim), ("plms", .pndm),
        ("EulerDiscreteScheduler", .euler), ("dpm++_2m_karras", .dpmSolverMultistepKarras), ("KDPM2AncestralDiscreteScheduler", .kdpm2Ancestral),
    ]) func names(name: String, kind: SamplerKind) throws {
        #expect(try SamplerKind(named: name) == kind)
    }

    @Test("every spelling and every title names its sampler") func spellings() throws {
        #expect(SamplerKind.allCases.map(\.rawValue) == [
            "ddim", "pndm", "lms", "euler", "euler_a", "heun", "dpm_2", "dpm_2_a", "dpmsolver++", "dpmsolver++_karras", "dpmsolver++_sde", "unipc", "lcm",
        ])
        for spelling in SamplerKind.spellings { #expect(try spelling.hasSuffix(SamplerKind(named: spelling).rawValue)) }
        for kind in SamplerKind.allCases { #expect(try SamplerKind(named: kind.title) == kind) }
        #expect(try JSONDecoder().decode([SamplerKind].self, from: Data(#"["dpm++_2m", "lcm"]"#.utf8)) == [.dpmSolverMultistep, .lcm])
    }

    @Test("an unknown name is answered with the nearest", arguments: [("eular", "euler"), ("k_eular", "k_euler"), ("unipcc", "unipc"), ("dpmsolver", "dpmsolver++")])
    func unknownName(name: String, nearest: String) {
        #expect(throws: DiffusionError.unknownSampler(name, nearest: nearest)) { try SamplerKind(named: name) }
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

    @Test("a line chooses whose random numbers it draws") func rng() throws {
        #expect(try SamplePrompt(line: "cube --rng NV").rng == .nvidia)
        #expect(try SamplePrompt(line: "cube --rng cpu", defaults: SamplePrompt("", rng: .nvidia)).rng == .cpu)
        let prompt = SamplePrompt("cube", seed: 1, sampler: .lcm, rng: .nvidia)
        #expect(try JSONDecoder().decode(SamplePrompt.self, from: JSONEncoder().encode(prompt)) == prompt)
    }

    @Test("a dash inside the text is text") func dashes() throws {
        #expect(try SamplePrompt(line: "low-poly cube -- 2 colours --s 3").text == "low-poly cube -- 2 colours")
    }

    @Test("bad flags and values are named", arguments: [
        ("a --q 3", "q"), ("a --w", "w"), ("a --w big", "w"), ("a --d -1", "d"), ("a --d 4294967296", "d"), ("a --l nan", "l"), ("a --s 1.5", "s"), ("a --w 99999999999999999999", "w"), ("a --rng gpu", "rng"),
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
