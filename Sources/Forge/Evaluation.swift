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
    /// How the captioner reads unseen rendered pictures.
    public var captioned: Agreement
    /// How the captioner reads pictures generated from unseen prompts.
    public var generated: Agreement
    public var pictures: Int

    public var description: String {
        func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }
        return """
            autoencoder: \(String(format: "%.2f", autoencoderPSNR)) dB PSNR on \(pictures) unseen pictures
            captioner: right shape in \(percent(captioned.shapes)), right colour in \(percent(captioned.colours)), right background in \
            \(percent(captioned.backgrounds)) of \(pictures) unseen pictures
            denoiser: prompted shape seen in \(percent(generated.shapes)), prompted colour in \(percent(generated.colours)), prompted background in \
            \(percent(generated.backgrounds)) of \(pictures) generated pictures
            """
    }

    /// Shares of captions that name what they should. A background counts where both caption and scene's wording name one.
    public struct Agreement: Codable, Sendable {
        public var shapes: Double, colours: Double, backgrounds: Double
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
        log("evaluate: captions of rendered pictures, \(read)")

        let prompts = promptedScenes(count)
        let images = try generate(prompts.map(\.text))
        let seen = agreement(images.map { caption(Tensor($0.floats(), shape: [1, $0.height, $0.width, 3])) }, prompts.map(\.scene), asked: prompts.map(\.text))
        return ForgeReport(autoencoderPSNR: psnr, captioned: read, generated: seen, pictures: count)
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

    /// - Parameter asked: what each scene was worded as; a background that it leaves open is not judged. nil judges all.
    private func agreement(_ captions: [String], _ scenes: [Scenes.Scene], asked: [String]? = nil) -> ForgeReport.Agreement {
        let pairs = Array(zip(captions, scenes))
        func share(_ pairs: [(String, Scenes.Scene)], _ agrees: (String, Scenes.Scene) -> Bool) -> Double {
            Double(pairs.count { agrees($0.0, $0.1) }) / Double(max(1, pairs.count))
        }
        let withBackground = zip(pairs, asked ?? scenes.map(\.background.phrase)).filter { pair, asked in
            Vocabulary.mentionedBackground(in: asked) != nil && Vocabulary.mentionedBackground(in: pair.0) != nil
        }.map(\.0)
        return ForgeReport.Agreement(
            shapes: share(pairs) { Vocabulary.mentionedShape(in: $0) == $1.shape },
            colours: share(pairs) { Vocabulary.mentionedColour(in: $0) == $1.colour },
            backgrounds: share(withBackground) { Vocabulary.mentionedBackground(in: $0) == $1.background })
    }
}
