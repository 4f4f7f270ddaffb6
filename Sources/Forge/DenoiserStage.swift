import Diffusion
import Models
import TensorCore

/// Learns the UNet and the text encoder together on cached latents: predict the noise that was added (Ho et al. 2020,
/// arXiv:2006.11239, algorithm 1), each timestep weighted by min-SNR.
struct DenoiserStage: ForgeStage {
    let name = "denoiser"
    let plan: TrainingPlan
    let unet: UNet
    let textEncoder: CLIPTextEncoder
    let tokenizer: CLIPTokenizer
    let schedule: NoiseSchedule
    let pictures: PictureStore
    let latents: LatentStore
    let recipe: Recipe

    var parameters: [(key: String, parameter: Parameter)] {
        unet.registry.parameters.map { ("unet." + $0.key, $0.parameter) }
            + textEncoder.registry.parameters.map { ("text_encoder." + $0.key, $0.parameter) }
    }

    func loss(step: Int) throws -> Tensor {
        var generator = TorchGenerator(seed: recipe.seed &+ 77 &+ UInt64(step))
        let chosen = (0..<plan.batch).map { _ in generator.integer(below: latents.count) }
        let clean = latents.batch(chosen)                                              // [B, h, w, Z]
        let noise = generator.normal(clean.shape)
        let timesteps = chosen.map { _ in generator.integer(below: schedule.count) }
        let captions = chosen.map { index in
            generator.uniform(1)[0] < Float(recipe.captionDropout) ? "" : pictures.caption(index, using: &generator)
        }
        let context = try textEncoder.encode(captions.map { tokenizer.encode($0) })    // [B, 77, D]
        let noisy = schedule.addNoise(to: clean, noise: noise, at: timesteps)
        let predicted = try unet(noisy, timesteps: timesteps.map(Float.init), context: context)
        let weights = timesteps.map { min(schedule.signalToNoise[$0], recipe.minSNRGamma) / schedule.signalToNoise[$0] }
        let weight = Tensor(weights, shape: [weights.count, 1, 1, 1])
        return ((predicted - noise).square() * weight).mean()
    }
}
