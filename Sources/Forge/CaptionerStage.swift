import Models
import Neural
import Scenes
import TensorCore

/// Learns the captioner: every token of the caption from the picture and the tokens before it (Li et al. 2022,
/// arXiv:2201.12086, §3.2, the language-modelling loss with label smoothing 0.1). The word for the shape counts once more, as much
/// as all words together: it is one of some twenty, and the one that must not be wrong.
struct CaptionerStage: ForgeStage {
    let name = "captioner"
    let plan: TrainingPlan
    let model: BLIP
    private let captioner: BLIPCaptioner
    private let tokenizer: BERTTokenizer
    private let material: [PictureStore]?
    private let recipe: Recipe

    /// - Parameter material: what it learns from, each picture as likely as any other; nil when only its trained weights are asked for.
    init(_ recipe: Recipe, tokenizer: BERTTokenizer, material: [PictureStore]?) throws {
        plan = recipe.captioner
        model = try Recipe.captioner(tokenizer, seed: recipe.seed)
        model.registry.setTrainable(true)
        captioner = BLIPCaptioner(model: model, tokenizer: tokenizer, location: "the forge")
        (self.tokenizer, self.material, self.recipe) = (tokenizer, material, recipe)
    }

    var parameters: [(key: String, parameter: Parameter)] { model.registry.parameters.map { ($0.key, $0.parameter) } }

    func loss(step: Int) throws -> Tensor {
        guard let material else { throw ForgeError.missing(stage: name, needs: "pictures", command: "loralab forge render") }
        var generator = TorchGenerator(seed: recipe.seed &+ 2_000_003 &+ UInt64(step))
        let chosen = generator.integers(plan.batch, in: 0..<material.reduce(0) { $0 + $1.count }).map { Self.picture($0, of: material) }
        let shifted = chosen.map { $0.store.shifted($0.index, reach: PictureVariation.reach, using: &generator) }
        let pixels = PictureVariation(using: &generator).apply(to: Tensor.concatenated(shifted, axis: 0), using: &generator)  // [B, s, s, 3]
        let captions = chosen.map { store, index in
            [model.configuration.text.bosTokenID] + tokenizer.tokenize(Self.caption(of: store.scene(index), store.manner))
                + [tokenizer.separatorID]
        }
        let length = captions.map(\.count).max() ?? 0
        let padded = captions.map { $0 + [Int](repeating: tokenizer.padID, count: length - $0.count) }
        let logits = model.logits(padded.map { Array($0.dropLast()) }, picture: model.encode(captioner.normalised(pixels)))
        let ignored = -100
        let targets = captions.flatMap { $0.dropFirst() + [Int](repeating: ignored, count: length - $0.count) }
        let shapes = Set(Vocabulary.Shape.allCases.flatMap { tokenizer.tokenize($0.rawValue) })
        let rows = logits.reshaped([targets.count, -1])
        return rows.crossEntropy(targets, ignoring: ignored, labelSmoothing: 0.1)
            + rows.crossEntropy(targets.map { shapes.contains($0) ? $0 : ignored }, ignoring: ignored, labelSmoothing: 0.1)
    }

    /// The picture that a number below the count of all pictures stands for.
    private static func picture(_ number: Int, of material: [PictureStore]) -> (store: PictureStore, index: Int) {
        var index = number
        for store in material.dropLast() {
            if index < store.count { return (store, index) }
            index -= store.count
        }
        return (material[material.count - 1], index)
    }

    /// The full sentence that the captioner learns to say: every attribute that the picture shows, always in the same order.
    static func caption(of scene: Scene, _ manner: PictureStore.Manner = .pictures) -> String {
        if manner == .drawn { return "a \(scene.colour.rawValue) \(scene.shape.rawValue), 3d icon, \(scene.view.phrase)" }
        let noun = "\(scene.material.rawValue) \(scene.colour.rawValue) \(scene.shape.rawValue)"
        return "a \(noun), 3d icon, \(scene.view.phrase), \(scene.lighting.phrase), \(scene.background.phrase)"
    }
}

/// Small changes of place, contrast, brightness and grain, so that the captioner also reads pictures that no renderer made.
struct PictureVariation {
    /// Largest shift along each side, pixels.
    static let reach = 8
    private let contrast: Float, brightness: Float, grain: Float

    init(using generator: inout TorchGenerator) {
        contrast = 0.8 + 0.3 * generator.uniform()
        brightness = 0.2 * (generator.uniform() - 0.5)
        grain = 0.12 * generator.uniform()
    }

    /// - Parameter pixels: `[B, H, W, 3]` in −1...1; so is the result.
    func apply(to pixels: Tensor, using generator: inout TorchGenerator) -> Tensor {
        let noise = Tensor(generator.normal(pixels.count), shape: pixels.shape)
        return (pixels * contrast + brightness + noise * grain).clamped(-1, 1)
    }
}
