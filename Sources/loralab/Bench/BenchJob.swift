import Adapters
import ArgumentParser
import Diffusion
import Models
import Neural
import TensorCore
import Training

/// One thing that is timed on a full-size model, under the name that the PyTorch peer has for it.
enum BenchJob: String, CaseIterable {
    case load, clip, unetForward = "unet-forward", trainStep = "train-step", vaeEncode = "vae-encode", vaeDecode = "vae-decode", blip, sample

    var summary: String {
        switch self {
        case .load: "Reading a base model."
        case .clip: "Encoding a prompt of 77 tokens."
        case .unetForward: "One evaluation of the denoiser."
        case .trainStep: "One LoRA training step: noise, forward, backward, AdamW."
        case .vaeEncode: "A picture to latents."
        case .vaeDecode: "Latents to a picture."
        case .blip: "A caption by BLIP base, a fixed number of tokens."
        case .sample: "A whole picture: prompt, steps with guidance, decoding."
        }
    }

    /// What is asked of the job.
    struct Options: ParsableArguments {
        @Option(help: "Pixels along a side; the model's own when not given.") var size: Int?
        @Option(help: "Pictures, or prompts, at a time.") var batch = 1
        @Option(help: "Rank of the adapter.") var rank = 8
        @Option(help: "attn: queries, keys, values and outputs; kohya: every layer of the transformers.") var targets = Targets.attn
        @Flag(help: "Recompute in the backward pass.") var checkpoint = false
        @Option(help: "Beams of the captioner.") var beams = 1
        @Option(help: "Tokens of a caption.") var tokens = 20
        @Option(help: "Steps of a picture.") var steps = 4

        enum Targets: String, ExpressibleByArgument, Codable { case attn, kohya }

        func validate() throws {
            guard size ?? 64 >= 64, size ?? 64 <= 4096, batch >= 1, rank >= 1, beams >= 1, tokens >= 2, steps >= 1 else {
                throw ValidationError("--size is 64 to 4096; --batch, --rank, --beams, --steps at least 1, --tokens at least 2.")
            }
        }

        /// Facts to print beside the figures.
        func facts(of job: BenchJob, side: Int) -> [String: Any] {
            switch job {
            case .load: [:]
            case .clip: ["batch": batch, "tokens": 77]
            case .blip: ["beams": beams, "tokens": tokens]
            case .trainStep: ["size": side, "batch": batch, "lora": "loralab", "targets": targets.rawValue, "rank": rank, "checkpoint": checkpoint]
            case .sample: ["size": side, "batch": batch, "steps": steps]
            case .unetForward, .vaeEncode, .vaeDecode: ["size": side, "batch": batch]
            }
        }
    }

    /// What is repeated.
    func step(_ model: DiffusionModel, _ o: Options, side: Int) throws -> () throws -> Void {
        var generator = TorchGenerator(seed: 0)
        let cells = side / model.latentScale, prompt = "a photograph of a cat", size = SizeConditioning(target: (side, side))
        let channels = model.autoencoder.configuration.latentChannels
        func noise(_ shape: [Int]) -> Tensor { .latentNoise(shape, generator: &generator) }
        func latents() -> Tensor { noise([o.batch, cells, cells, channels]) }
        func text() -> TextStates { withoutGradients { model.base.condition(Array(repeating: prompt, count: o.batch)) } }
        let timesteps = [Float](repeating: 500, count: o.batch), sizes = Array(repeating: size, count: o.batch)
        switch self {
        case .load, .blip: return {}
        case .clip: return { withoutGradients { _ = model.base.condition(Array(repeating: prompt, count: o.batch)) } }
        case .vaeEncode:
            let pixels = noise([o.batch, side, side, 3]).clamped(-1, 1)
            return { withoutGradients { _ = model.autoencoder.encode(pixels).mean } }
        case .vaeDecode:
            let x = latents()
            return { withoutGradients { _ = model.autoencoder.decode(x) } }
        case .unetForward:
            let x = latents(), text = text()
            return { withoutGradients { _ = model.predict(x, timesteps: timesteps, text: text, sizes: sizes) } }
        case .sample:
            let asked = SamplePrompt(prompt, width: side, height: side, seed: 0, steps: o.steps, sampler: .euler), drawing = ImageGenerator(model)
            return { _ = try drawing.generate(Array(repeating: asked, count: o.batch)) }
        case .trainStep:
            let specification = LoRASpecification(rank: o.rank, unet: o.targets == .attn ? .attention : .transformer)
            let network = try AdapterNetwork(.init(.standard, specification), model: model.adaptable, generator: &generator)
            network.attach()
            model.unet.recomputes = o.checkpoint
            var optimizer = AdamW()
            let x = latents(), target = latents(), text = text(), parameters = network.parameters
            return {
                let loss = model.predict(x, timesteps: timesteps, text: text, sizes: sizes).meanSquaredError(target)
                optimizer.step(parameters, gradients: gradients(of: loss, for: parameters.map(\.tensor)), learningRate: 1e-4)
            }
        }
    }

    /// The captioner's job: exactly as many tokens as asked for.
    static func captioning(_ captioner: BLIPCaptioner, _ o: Options) -> () -> Void {
        var options = BLIP.GenerationOptions()
        options.search = o.beams > 1 ? .beams(o.beams) : .greedy
        (options.minimumLength, options.maximumLength) = (o.tokens, o.tokens)
        let side = captioner.imageSize
        var generator = TorchGenerator(seed: 0)
        let pixels = Tensor.latentNoise([1, side, side, 3], generator: &generator).clamped(-1, 1)
        return { _ = captioner.caption(pixels, options: options) }
    }
}
