import Models
import TensorCore

/// Learns `AutoencoderKL` on rendered pictures: absolute plus squared error, and a light pull of the latents to a unit normal
/// (Rombach et al. 2022, arXiv:2112.10752, §3.1, without its adversarial part: icons have no texture to invent).
struct AutoencoderStage: ForgeStage {
    let name = "autoencoder"
    let plan: TrainingPlan
    let model: AutoencoderKL
    let pictures: PictureStore
    let recipe: Recipe

    var parameters: [(key: String, parameter: Parameter)] { model.registry.parameters.map { ($0.key, $0.parameter) } }

    func loss(step: Int) throws -> Tensor {
        var generator = TorchGenerator(seed: recipe.seed &+ UInt64(step))
        let wholePictures = step >= plan.steps * 4 / 5
        let side = wholePictures ? recipe.pictureSize : recipe.cropSize
        let count = wholePictures ? max(1, plan.batch / 2) : plan.batch
        let target = pictures.crops(count, side: side, using: &generator)             // [B, s, s, 3]
        let (mean, logVariance) = try model.encode(target)                             // [B, s/8, s/8, Z]
        let variance = logVariance.exp()
        let noise = generator.normal(mean.shape)
        let restored = try model.decode(mean + variance.sqrt() * noise)
        let difference = restored - target
        let divergence = (mean.square() + variance - 1 - logVariance).mean() * 0.5
        return difference.absolute().mean() + difference.square().mean() + divergence * recipe.divergenceWeight
    }
}
