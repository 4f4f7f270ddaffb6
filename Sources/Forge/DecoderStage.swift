import Models
import Neural
import TensorCore

/// Lets the decoder go on learning after the latents have been fixed: on whole pictures, with the encoder frozen, so that the
/// denoiser's latents stay what they are.
struct DecoderStage: ForgeStage {
    let name = "decoder"
    let plan: TrainingPlan
    /// The trained autoencoder; its encoder is frozen.
    let model: AutoencoderKL
    private let pictures: PictureStore?
    private let recipe: Recipe

    /// - Parameters:
    ///   - model: an autoencoder with trained weights.
    ///   - pictures: what it learns from; nil when only its trained weights are asked for.
    init(_ recipe: Recipe, refining model: AutoencoderKL, pictures: PictureStore?) {
        plan = recipe.decoder
        (self.model, self.pictures, self.recipe) = (model, pictures, recipe)
        model.registry.setTrainable(true)       // a packaged model's halves become floats
        for entry in model.registry.parameters { entry.parameter.isTrainable = Self.isRefined(entry.key) }
    }

    var parameters: [(key: String, parameter: Parameter)] {
        model.registry.parameters.filter { Self.isRefined($0.key) }.map { ($0.key, $0.parameter) }
    }

    private static func isRefined(_ key: String) -> Bool { key.hasPrefix("decoder.") || key.hasPrefix("post_quant_conv.") }

    func loss(step: Int) throws -> Tensor {
        guard let pictures else { throw ForgeError.missing(stage: name, needs: "pictures", command: "loralab forge render") }
        var generator = TorchGenerator(seed: recipe.seed &+ 3_000_003 &+ UInt64(step))
        let target = pictures.batch(generator.integers(plan.batch, in: 0..<pictures.count))
        let latents = model.encode(target)
        let noise = Tensor(generator.normal(latents.mean.count), shape: latents.mean.shape)
        let difference = model.decode(latents.sample(noise: noise)) - target
        return difference.absolute().mean() + difference.square().mean() * 4
    }
}
