import Adapters
import ArgumentParser
import Checkpoints
import Diffusion
import Foundation
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

    /// Jobs whose model can be made on a card.
    var runsOnCard: Bool { self == .unetForward || self == .trainStep }

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

    /// Reads what the job needs of a model in `folder`, and no more, and returns what is repeated.
    ///
    /// - Parameter family: what a card's denoiser is made as, without a folder.
    func step(_ folder: String, _ o: Options, family: FullSizeModel, side: Int, on device: any Device) throws -> () throws -> Void {
        var generator = TorchGenerator(seed: 0)
        func noise(_ shape: [Int]) -> Tensor { Tensor(shape: shape) { generator.fillNormal($0) } }
        let latents = { noise([o.batch, side / 8, side / 8, 4]) }
        func denoiserCall() throws -> DenoiserCall {
            if device === HostDevice.shared { return try DenoiserCall(folder, batch: o.batch, side: side) }
            return try DenoiserCall(family, batch: o.batch, side: side, on: device)
        }
        switch self {
        case .load, .blip: return {}
        case .clip:
            let parts = ["text_encoder", "text_encoder_2"].map { "\(folder)/\($0)" }.filter { FileManager.default.fileExists(atPath: $0) }
            let encoders = try parts.map { try CLIPTextEncoder.load(folder: $0) }, ids = Array(repeating: (0..<77).map { $0 * 600 }, count: o.batch)
            return { withoutGradients { for encoder in encoders { _ = encoder.encode(ids) } } }
        case .vaeEncode:
            let autoencoder = try AutoencoderKL.load(folder: folder + "/vae"), pixels = noise([o.batch, side, side, 3]).clamped(-1, 1)
            return { withoutGradients { _ = autoencoder.encode(pixels).mean } }
        case .vaeDecode:
            let autoencoder = try AutoencoderKL.load(folder: folder + "/vae"), x = latents()
            return { withoutGradients { _ = autoencoder.decode(x) } }
        case .unetForward:
            let call = try denoiserCall()
            return {
                withoutGradients { _ = call.predict() }
                device.synchronise()
                try device.checkFailure()
            }
        case .trainStep: return try trainingStep(denoiserCall(), o, target: latents().moved(to: device), &generator)
        case .sample:
            let base = try BaseModel.load(path: folder), schedule = NoiseSchedule(try SchedulerConfiguration(json: base.schedulerConfiguration))
            let drawing = ImageGenerator(DiffusionModel(base, schedule: schedule, name: folder))
            let asked = SamplePrompt("a photograph of a cat", width: side, height: side, seed: 0, steps: o.steps, sampler: .euler)
            return { _ = try drawing.generate(Array(repeating: asked, count: o.batch)) }
        }
    }

    private func trainingStep(_ call: DenoiserCall, _ o: Options, target: Tensor, _ generator: inout TorchGenerator) throws -> () throws -> Void {
        let specification = LoRASpecification(rank: o.rank, unet: o.targets == .attn ? .attention : .transformer)
        let network = try AdapterNetwork(.init(.standard, specification), model: AdaptableModel(unet: call.unet.registry), generator: &generator)
        network.attach()
        call.unet.recomputes = o.checkpoint
        var optimizer = AdamW()
        let parameters = network.parameters
        return {
            let loss = call.predict().meanSquaredError(target)
            optimizer.step(parameters, gradients: gradients(of: loss, for: parameters.map(\.tensor)), learningRate: 1e-4)
            guard loss.item().isFinite else { throw BenchError("The loss is no number.") }
            try loss.device.checkFailure()
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

/// A denoiser with inputs of the right shapes.
struct DenoiserCall {
    let unet: UNet
    private let x: Tensor, context: Tensor
    private let timesteps: [Float]
    private let added: AddedConditions?

    /// A denoiser from a folder, on the processor.
    init(_ folder: String, batch: Int, side: Int) throws {
        let configuration = try ConfigurationFile.read(UNet.Configuration.self, folder + "/unet/config.json")
        let unet = try UNet(configuration: configuration, weights: Weights(WeightFolder.open(folder + "/unet")))
        try self.init(unet, configuration, batch: batch, side: side, on: HostDevice.shared)
    }

    /// A denoiser of random weights, made in memory.
    init(_ family: FullSizeModel, batch: Int, side: Int, on device: any Device) throws {
        let unet = try UNet(configuration: family.unet, weights: Weights(TiledWeights(), precision: .float16))
        unet.registry.move(to: device)
        try self.init(unet, family.unet, batch: batch, side: side, on: device)
    }

    private init(_ unet: UNet, _ configuration: UNet.Configuration, batch: Int, side: Int, on device: any Device) throws {
        self.unet = unet
        var generator = TorchGenerator(seed: 0)
        func noise(_ shape: [Int]) -> Tensor {
            Tensor(shape: shape) { generator.fillNormal($0) }.moved(to: device).converted(to: device.activationType)
        }
        x = noise([batch, side / 8, side / 8, configuration.inChannels])
        guard case .one(let width) = configuration.crossAttentionDim else { throw BenchError("The benchmark's models have one width of text states.") }
        context = noise([batch, 77, width])
        timesteps = Array(repeating: 500, count: batch)
        let sizes = Array(repeating: SizeConditioning(target: (side, side)), count: batch)
        added = configuration.projectionClassEmbeddingsInputDim.map { inputs in
            AddedConditions(pooled: noise([batch, inputs - 6 * (configuration.additionTimeEmbedDim ?? 0)]), sizes: sizes)
        }
    }

    func predict() -> Tensor { unet(x, timesteps: timesteps, context: context, added: added).converted(to: .float32) }
}
