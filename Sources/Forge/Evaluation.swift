import Diffusion
import Foundation
import Imaging
import Models
import Plotting
import Scenes
import TensorCore
import Training

/// What the embedded model can do, in the figures that the README quotes.
public struct ForgeReport: Codable, Sendable, CustomStringConvertible {
    /// Decibels over unseen pictures: the mean of each picture's own.
    public var autoencoderPSNR: Double
    /// Shares of unseen rendered pictures whose caption names the right shape, and the right colour.
    public var captionedShapes: Double, captionedColours: Double
    /// Shares of pictures generated from unseen prompts in which the captioner sees the prompted shape, and colour.
    public var generatedShapes: Double, generatedColours: Double
    public var pictures: Int

    public var description: String {
        func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }
        return """
            autoencoder: \(String(format: "%.2f", autoencoderPSNR)) dB PSNR on \(pictures) unseen pictures
            captioner: right shape in \(percent(captionedShapes)), right colour in \(percent(captionedColours)) of \(pictures) unseen pictures
            denoiser: prompted shape seen in \(percent(generatedShapes)), prompted colour in \(percent(generatedColours)) of \(pictures) generated pictures
            """
    }
}

/// Measures the trained networks on pictures and prompts that no training saw.
struct Evaluation {
    private let model: DiffusionModel
    private let captioner: BLIPCaptioner
    private let recipe: Recipe

    /// - Parameter folder: a packaged model.
    init(_ recipe: Recipe, folder: String) throws {
        let base = try BaseModel.load(folder: folder)
        let scheduler = try JSONDecoder().decode(SchedulerConfiguration.self, from: base.schedulerConfiguration)
        model = DiffusionModel(base, schedule: NoiseSchedule(scheduler), name: folder)
        captioner = try BLIPCaptioner.load(folder: folder + "/captioner")
        self.recipe = recipe
    }

    /// Steps, guidance and sampler of every generated picture.
    static func prompt(_ text: String, seed: UInt64, size: Int) -> SamplePrompt {
        SamplePrompt(text, width: size, height: size, seed: seed, guidanceScale: 4, steps: 25, sampler: .ddim)
    }

    func run(pictures count: Int, log: (String) -> Void) throws -> ForgeReport {
        let rendered = PictureStore.renderAll(seeds: (0..<count).map { recipe.unseenSeed &+ UInt64($0) }, size: recipe.pictureSize)
        let scenes = (0..<count).map { PictureStore.scene(seed: recipe.unseenSeed &+ UInt64($0)) }
        let psnr = rendered.map(restorationPSNR).reduce(0, +) / Double(count)
        log(String(format: "evaluate: autoencoder %.2f dB", psnr))
        let captions = rendered.map { caption(Tensor($0.floats(), shape: [1, recipe.pictureSize, recipe.pictureSize, 3])) }
        let read = agreement(captions, scenes)
        log("evaluate: captions of rendered pictures, shapes \(read.shapes), colours \(read.colours)")

        let prompts = promptedScenes(count)
        let images = try generate(prompts.map(\.text))
        let seen = agreement(images.map { caption(Tensor($0.floats(), shape: [1, $0.height, $0.width, 3])) }, prompts.map(\.scene))
        return ForgeReport(
            autoencoderPSNR: psnr, captionedShapes: read.shapes, captionedColours: read.colours, generatedShapes: seen.shapes,
            generatedColours: seen.colours, pictures: count)
    }

    /// A sheet of generated icons with their prompts.
    func sheet(icons: Int) throws -> Pixels {
        let prompts = promptedScenes(icons).map(\.text)
        let images = try generate(prompts)
        return ContactSheet(zip(images, prompts).map { ContactSheet.Item($0, caption: $1) }, title: "Icons generated from unseen prompts").draw()
    }

    /// Unseen scenes, and a wording of each as the prompt.
    private func promptedScenes(_ count: Int) -> [(scene: Scenes.Scene, text: String)] {
        (0..<count).map { index in
            var generator = SplitMix64(seed: recipe.unseenSeed &+ 1_000_000 &+ UInt64(index))
            let scene = Scene.random(using: &generator)
            return (scene, scene.caption(using: &generator))
        }
    }

    private func generate(_ texts: [String]) throws -> [Pixels] {
        let prompts = texts.enumerated().map { Self.prompt($0.element, seed: UInt64($0.offset), size: recipe.pictureSize) }
        return try ImageGenerator(model).generate(prompts).map(\.pixels)
    }

    private func restorationPSNR(_ picture: Pixels) -> Double {
        let target = Tensor(picture.floats(), shape: [1, picture.height, picture.width, 3])
        let restored = withoutGradients { model.autoencoder.decode(model.autoencoder.encode(target).mean).clamped(-1, 1) }
        let error = withoutGradients { ((restored - target) * 0.5).square().mean().item() }
        return -10 * log10(Double(max(error, 1e-10)))
    }

    private func caption(_ pixels: Tensor) -> String {
        var options = BLIP.GenerationOptions()
        options.maximumLength = 40
        return captioner.caption(pixels, options: options)[0]
    }

    private func agreement(_ captions: [String], _ scenes: [Scenes.Scene]) -> (shapes: Double, colours: Double) {
        let pairs = Array(zip(captions, scenes)), count = Double(max(1, pairs.count))
        return (
            Double(pairs.count { Vocabulary.mentionedShape(in: $0) == $1.shape }) / count,
            Double(pairs.count { Vocabulary.mentionedColour(in: $0) == $1.colour }) / count)
    }
}
