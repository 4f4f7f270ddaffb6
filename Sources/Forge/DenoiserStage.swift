import Diffusion
import Models
import Neural
import TensorCore

/// Learns the UNet and the text encoder together on cached latents: predict the noise that was added (Ho et al. 2020,
/// arXiv:2006.11239, algorithm 1), each timestep weighted by min-SNR.
///
/// Timesteps are drawn in proportion to themselves: what the prompt says is decided where there is much noise, and with little
/// of it a small network soon has nothing more to learn.
struct DenoiserStage: ForgeStage {
    let name = "denoiser"
    let plan: TrainingPlan
    let unet: UNet
    let textEncoder: CLIPTextEncoder
    private let tokenizer: CLIPTokenizer
    private let schedule: NoiseSchedule
    private let objective: Objective
    private let material: (pictures: PictureStore, latents: LatentStore)?
    private let recipe: Recipe

    /// - Parameter material: what it learns from; nil when only its trained weights are asked for.
    init(_ recipe: Recipe, tokenizer: CLIPTokenizer, material: (pictures: PictureStore, latents: LatentStore)?) throws {
        plan = recipe.denoiser
        unet = try Recipe.denoiser(seed: recipe.seed)
        textEncoder = try Recipe.textEncoder(tokenizer, seed: recipe.seed)
        unet.registry.setTrainable(true)
        textEncoder.registry.setTrainable(true)
        schedule = NoiseSchedule(try Recipe.scheduler())
        objective = Objective(minSNRGamma: recipe.minSNRGamma)
        (self.tokenizer, self.material, self.recipe) = (tokenizer, material, recipe)
    }

    var parameters: [(key: String, parameter: Parameter)] { Self.parameters(unet: unet, textEncoder: textEncoder) }

    /// The weights of both networks, as the stage's state names them.
    static func parameters(unet: UNet, textEncoder: CLIPTextEncoder) -> [(key: String, parameter: Parameter)] {
        unet.registry.parameters.map { ("unet." + $0.key, $0.parameter) }
            + textEncoder.registry.parameters.map { ("text_encoder." + $0.key, $0.parameter) }
    }

    func loss(step: Int) throws -> Tensor {
        guard let (pictures, latents) = material else {
            throw ForgeError.missing(stage: name, needs: "cached latents", command: "loralab forge train autoencoder")
        }
        var generator = TorchGenerator(seed: recipe.seed &+ 1_000_003 &+ UInt64(step))
        let chosen = generator.integers(plan.batch, in: 0..<latents.count)
        let clean = latents.batch(chosen)                                              // [B, h, w, Z]
        let offsetShape = [clean.shape[0], 1, 1, clean.shape[3]]
        let offset = Tensor(generator.normal(offsetShape.reduce(1, *)), shape: offsetShape) * recipe.noiseOffset
        let noise = Tensor(generator.normal(clean.count), shape: clean.shape) + offset
        let timesteps = generator.uniform(plan.batch).map { Int(Float(schedule.trainTimesteps) * $0.squareRoot()) }
        let captions = chosen.map { index in
            Double(generator.uniform()) < recipe.captionDropout ? "" : pictures.caption(index, using: &generator)
        }
        let context = textEncoder.encode(captions.map { tokenizer.encode($0) })        // [B, 77, D]
        let noisy = schedule.addNoise(clean, noise: noise, timesteps: timesteps)
        let predicted = unet(noisy, timesteps: timesteps.map(Float.init), context: context)
        return objective(predicted, target: noise, timesteps: timesteps, schedule: schedule)
    }
}
