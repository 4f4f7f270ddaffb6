import Models
import TensorCore

/// Learns `AutoencoderKL` on rendered pictures: absolute plus squared error, and a light pull of the latents to a unit normal
/// (Rombach et al. 2022, arXiv:2112.10752, §3.1, without its adversarial part: icons have no texture to invent).
struct AutoencoderStage: ForgeStage {
    let name = "autoencoder"
    let plan: TrainingPlan
    let model: AutoencoderKL
    private let pictures: PictureStore?
    private let recipe: Recipe

    /// - Parameters:
    ///   - pictures: what it learns from; nil when only its trained weights are asked for.
    ///   - latentScale: the scaling factor that its configuration tells.
    init(_ recipe: Recipe, pictures: PictureStore?, latentScale: Float = 1) throws {
        plan = recipe.autoencoder
        model = try Recipe.autoencoder(seed: recipe.seed, scale: latentScale)
        model.registry.setTrainable(true)
        (self.pictures, self.recipe) = (pictures, recipe)
        startWithLittleNoise()
    }

    /// Latents of fresh weights would drown in noise of deviation 1, and nothing would be learnt until they outgrow it: the
    /// predicted log-variance starts at −6.
    private func startWithLittleNoise() {
        let width = model.configuration.latentChannels
        for entry in model.registry.parameters where entry.key == "quant_conv.bias" {
            entry.parameter.value = Tensor.concatenated([entry.parameter.value.sliced(axis: 0, from: 0, to: width), .full(-6, [width])], axis: 0)
        }
    }

    var parameters: [(key: String, parameter: Parameter)] { model.registry.parameters.map { ($0.key, $0.parameter) } }

    func loss(step: Int) throws -> Tensor {
        guard let pictures else { throw ForgeError.missing(stage: name, needs: "pictures", command: "loralab forge render") }
        var generator = TorchGenerator(seed: recipe.seed &+ UInt64(step))
        let wholePictures = step >= plan.steps * 4 / 5
        let side = wholePictures ? recipe.pictureSize : recipe.cropSize
        let count = wholePictures ? max(1, plan.batch / 2) : plan.batch
        let target = pictures.crops(count, side: side, using: &generator)              // [B, s, s, 3]
        let latents = model.encode(target)                                             // [B, s/8, s/8, Z]
        let noise = Tensor(generator.normal(latents.mean.count), shape: latents.mean.shape)
        let difference = model.decode(latents.sample(noise: noise)) - target
        let divergence = latents.divergenceFromStandardNormal() * (recipe.divergenceWeight * Float(count) / Float(noise.count))
        return difference.absolute().mean() + difference.square().mean() + divergence
    }
}
