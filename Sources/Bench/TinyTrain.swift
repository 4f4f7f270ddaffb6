import Adapters
import Diffusion
import Models
import Neural
import TensorCore

/// One LoRA training step of a small UNet, over and over: noise, forward, backward, AdamW.
///
/// The network, the batch and the adapter are those of the PyTorch peer's job of the same name: 128×128 pixels (16×16 latent cells), context 77×256,
/// rank 8 on queries, keys, values and outputs of all attentions, AdamW 1e-4.
struct TinyTrain {
    let batch: Int
    private let unet: UNet
    private let network: AdapterNetwork
    private let latents: Tensor, context: Tensor        // [B, 16, 16, 4], [B, 77, 256]
    private let schedule: NoiseSchedule
    private var optimizer = AdamW()
    private var generator: TorchGenerator

    private static let cells = 16, tokens = 77, width = 256

    init(batch: Int, rank: Int, on device: any Device = HostDevice.shared) throws {
        var configuration = UNet.Configuration()
        configuration.sampleSize = .one(Self.cells)
        configuration.blockOutChannels = [64, 128, 256]
        configuration.downBlockTypes = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]
        configuration.upBlockTypes = ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
        configuration.crossAttentionDim = .one(Self.width)
        generator = TorchGenerator(seed: 0)
        unet = try UNet(configuration: configuration, weights: Weights(FreshWeights(seed: 0)))
        unet.registry.move(to: device)
        network = try AdapterNetwork(
            .init(.standard, .init(rank: rank, alpha: Float(rank), unet: .attention)), model: AdaptableModel(unet: unet.registry), generator: &generator)
        network.attach()
        latents = Self.normal([batch, Self.cells, Self.cells, 4], &generator).moved(to: device)
        context = Self.normal([batch, Self.tokens, Self.width], &generator).moved(to: device).converted(to: device.activationType)
        schedule = NoiseSchedule()
        self.batch = batch
    }

    var trainable: Int { network.parameterCount }

    var device: any Device { latents.device }
    /// The adapter's numbers.
    var weights: [[Float]] { network.parameters.map { $0.value.array } }

    /// One step; returns the loss.
    @discardableResult
    mutating func step() throws -> Float {
        let timesteps = (0..<batch).map { _ in generator.integer(below: schedule.trainTimesteps) }
        let noise = Self.normal(latents.shape, &generator).moved(to: device)
        let noisy = schedule.addNoise(latents, noise: noise, timesteps: timesteps).converted(to: device.activationType)
        let loss = unet(noisy, timesteps: timesteps.map(Float.init), context: context).converted(to: .float32).meanSquaredError(noise)
        let parameters = network.parameters
        optimizer.step(parameters, gradients: gradients(of: loss, for: parameters.map { $0.tensor }), learningRate: 1e-4)
        let value = loss.item()
        try device.checkFailure()
        return value
    }

    private static func normal(_ shape: [Int], _ generator: inout TorchGenerator) -> Tensor {
        Tensor(shape: shape) { generator.fillNormal($0) }
    }
}
