import Diffusion
import Foundation
import TensorCore
import Testing

@Suite("NoiseSchedule") struct NoiseScheduleTests {
    struct Case: Decodable {
        let name: String, config: SchedulerConfiguration, betas: [Float], alphas_cumprod: [Float], timesteps: [Int]
        let latents: [Float], noise: [Float], noised: [Float], velocity: [Float]
    }

    @Test("tables, noised latents and velocities are diffusers'") func followsDiffusers() throws {
        for item in try fixture("schedule", as: [Case].self) {
            let schedule = NoiseSchedule(item.config)
            // The rescaled table is a chain of float32 products and quotients: its last entries are near zero and lose digits.
            let tolerance: Float = item.config.rescaleBetasZeroSNR ? 1e-5 : 3e-7
            #expect(relativeError(schedule.betas, item.betas) < tolerance, "\(item.name)")
            #expect(relativeError(schedule.alphasCumprod, item.alphas_cumprod) < tolerance, "\(item.name)")
            let shape = [2, 2, 3, 4]
            let latents = Tensor(item.latents, shape: shape), noise = Tensor(item.noise, shape: shape)
            #expect(relativeError(schedule.addNoise(latents, noise: noise, timesteps: item.timesteps).array, item.noised) < 1e-6)
            #expect(relativeError(schedule.velocity(latents, noise: noise, timesteps: item.timesteps).array, item.velocity) < 1e-6)
        }
    }

    @Test("Stable Diffusion's table has the published values") func publishedValues() {
        let schedule = NoiseSchedule()
        for (t, bar) in [(0, 0.99914998), (100, 0.89422315), (500, 0.27633247), (999, 0.004660095)] as [(Int, Float)] {
            #expect(abs(schedule.alphasCumprod[t] - bar) < 1e-7)
        }
        #expect(abs(schedule.sigmas[999] - 14.6146469) < 1e-5)
    }

    @Test("latent noise is torch's, channels first") func latentNoiseOrder() throws {
        var generator = TorchGenerator(seed: 4)
        let plain = generator.normal(2 * 3 * 2 * 4)                          // [2, 4, 2, 3] in torch's order
        var noise = LatentNoise(.torch(TorchGenerator(seed: 4)))
        let drawn = noise.draw([2, 2, 3, 4]).array
        for b in 0..<2 { for c in 0..<4 { for y in 0..<2 { for x in 0..<3 {
            #expect(drawn[((b * 2 + y) * 3 + x) * 4 + c] == plain[((b * 4 + c) * 2 + y) * 3 + x])
        } } } }
    }

    @Test("a picture's noise does not depend on its neighbours") func perPicture() {
        var both = LatentNoise(seeds: [1, 2]), second = LatentNoise(seeds: [2])
        #expect(Array(both.draw([2, 4, 4, 4]).array.suffix(64)) == second.draw([1, 4, 4, 4]).array)
        var nvidia = LatentNoise(seeds: [1, 2], device: .nvidia)
        #expect(nvidia.draw([2, 4, 4, 4]).array != both.draw([2, 4, 4, 4]).array)
    }

    @Test("a configuration that cannot be followed is refused by name", arguments: [
        #"{"num_train_timesteps": 0}"#, #"{"beta_start": -1}"#, #"{"steps_offset": 5000}"#, #"{"beta_schedule": "sigmoid"}"#,
        #"{"trained_betas": [0.1, 0.2]}"#, #"{"solver_order": 4}"#, #"{"prediction_type": "flow_prediction"}"#, #"{"sigma_min": -1}"#, #"{"original_inference_steps": 2000}"#,
    ]) func invalid(json: String) {
        #expect(throws: DiffusionError.self) { try JSONDecoder().decode(SchedulerConfiguration.self, from: Data(json.utf8)) }
    }

    @Test("silence in the file is kept, so that each sampler takes its own class's default") func decoding() throws {
        let json = #"{"_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_start": 0.00085, "beta_schedule": "scaled_linear", "steps_offset": 1, "clip_sample": false, "set_alpha_to_one": false, "skip_prk_steps": true, "trained_betas": null}"#
        let c = try JSONDecoder().decode(SchedulerConfiguration.self, from: Data(json.utf8))
        #expect(c.timestepSpacing == nil && c.stepsOffset == 1 && c.clipSample == false && c.setAlphaToOne == false)
        #expect(c.predictionType == .epsilon && c.trainTimesteps == 1000)
        let back = try JSONDecoder().decode(SchedulerConfiguration.self, from: JSONEncoder().encode(c))
        #expect(back == c)
    }

    @Test("the infinities that Python writes are read") func infinities() throws {
        let json = #"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "solver_order": 2, "final_sigmas_type": "zero"}"#
        let c = try SchedulerConfiguration(json: Data(json.utf8))
        #expect(c.lambdaMinClipped == nil && c.solverOrder == 2 && c.finalSigma == .zero)
        #expect(try SchedulerConfiguration(json: JSONEncoder().encode(c)) == c)
    }

    @Test("outdated values are corrected as the pipeline does, and silence stays") func corrections() throws {
        let outdated = try SchedulerConfiguration(json: Data(#"{"steps_offset": 0, "clip_sample": true}"#.utf8)).correctedForStableDiffusion
        #expect(outdated.stepsOffset == 1 && outdated.clipSample == false)
        let silent = try SchedulerConfiguration(json: Data(#"{"_class_name": "DDIMScheduler"}"#.utf8)).correctedForStableDiffusion
        #expect(silent.stepsOffset == nil && silent.clipSample == nil)
    }
}

@Suite("Objective") struct ObjectiveTests {
    let schedule = NoiseSchedule()
    let prediction = Tensor([1, 2, 3, 4, 0, 0, 0, 2], shape: [2, 1, 2, 2])
    let target = Tensor([0, 0, 0, 0, 0, 0, 0, 0], shape: [2, 1, 2, 2])

    @Test("l2 and l1 are plain means") func plain() {
        // (1+4+9+16+4)/8, (1+2+3+4+2)/8
        #expect(Objective()(prediction, target: target, timesteps: [0, 999], schedule: schedule).item() == 4.25)
        #expect(Objective(loss: .l1)(prediction, target: target, timesteps: [0, 999], schedule: schedule).item() == 1.5)
    }

    @Test("min-SNR caps the weight of easy timesteps and leaves hard ones alone") func minSNR() {
        let objective = Objective(minSNRGamma: 5)
        let weights = objective.weights([0, 999], schedule: schedule, sampleWeights: nil)
        // SNR(0) = 0.99914998 / 0.00085002 ≈ 1175.4; SNR(999) ≈ 0.00468 < 5
        #expect(abs(weights[0] - 5 / schedule.signalToNoise(0)) < 1e-6 && weights[1] == 1)
        let loss = objective(prediction, target: target, timesteps: [0, 999], schedule: schedule).item()
        #expect(abs(loss - (7.5 * weights[0] + 1) / 2) < 1e-5)
        let velocity = NoiseSchedule(SchedulerConfiguration(predictionType: .velocity))
        #expect(abs(objective.weights([0], schedule: velocity, sampleWeights: nil)[0] - 5 / (velocity.signalToNoise(0) + 1)) < 1e-6)
    }

    @Test("regularisation weights and masks scale what they should") func weightsAndMask() {
        let weighted = Objective()(prediction, target: target, timesteps: [0, 0], schedule: schedule, sampleWeights: [1, 0.5]).item()
        #expect(abs(weighted - (7.5 + 0.5) / 2) < 1e-6)
        let mask = Tensor([1, 0, 1, 1], shape: [2, 1, 2, 1])
        #expect(Objective()(prediction, target: target, timesteps: [0, 0], schedule: schedule, mask: mask).item() == 1.125)
    }

    @Test("huber's c follows its schedule") func huber() {
        let snr = Objective(loss: .huber)
        #expect(abs(snr.huberC(0, schedule: schedule) - (0.9 / powf(1 + schedule.sigmas[0], 2) + 0.1)) < 1e-6)
        let exponential = Objective(loss: .huber, huberSchedule: .exponential)
        #expect(abs(exponential.huberC(500, schedule: schedule) - sqrtf(0.1)) < 1e-6)
        let constant = Objective(loss: .huber, huberSchedule: .constant, huberThreshold: 1)
        // 2c(√(d²+c²) − c) with c = 1: d = 1 → 2(√2−1); the other elements are zero
        let one = Tensor([1, 0], shape: [1, 1, 1, 2]), zero = Tensor([0, 0], shape: [1, 1, 1, 2])
        #expect(abs(constant(one, target: zero, timesteps: [3], schedule: schedule).item() - (sqrtf(2) - 1)) < 1e-6)
    }

    @Test("the target is what the checkpoint predicts") func targets() {
        let latents = Tensor([1, 2], shape: [1, 1, 1, 2]), noise = Tensor([3, -1], shape: [1, 1, 1, 2])
        #expect(Objective.target(schedule, latents: latents, noise: noise, timesteps: [9]).array == [3, -1])
        let velocity = NoiseSchedule(SchedulerConfiguration(predictionType: .velocity))
        #expect(Objective.target(velocity, latents: latents, noise: noise, timesteps: [9]).array == velocity.velocity(latents, noise: noise, timesteps: [9]).array)
    }
}
