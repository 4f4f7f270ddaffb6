import Adapters
import CCUDA
import CUDADevice
import Diffusion
import EmulatedCUDA
import Foundation
import KernelsOnHost
import Models
import Neural
import TensorCore
import Testing

/// The device on a card made of nothing: NVIDIA's libraries by plain loops, the card's own kernels. One test at a time: the libraries are the process'.
@Suite("CUDADevice", .serialized) struct CUDADeviceTests {
    private func withCard(_ precision: CUDADevice.Precision, memory: Int = 1 << 30, _ body: (CUDADevice) throws -> Void) throws {
        let cache = FileManager.default.temporaryDirectory.appending(path: "cudadevice-\(UUID().uuidString)")
        setenv("XDG_CACHE_HOME", cache.path, 1)
        defer { try? FileManager.default.removeItem(at: cache) }
        emulated_install()
        emulated_hide("")
        emulated_fail("", 0, 0)
        emulated_configure(13000, 1, 90, memory)
        emulated_set_kernels(emulated_kernels(find: koh_find_kernel, run: koh_run_kernel, copy: koh_copy_arguments))
        defer { emulated_fail("", 0, 0) }
        try body(CUDADevice.open(precision: precision))
    }

    private func relativeError(_ found: [Float], _ expected: [Float]) -> Float {
        var (error, size) = (0.0, 0.0)
        for (a, b) in zip(found, expected) {
            error += Double(a - b) * Double(a - b)
            size += Double(b) * Double(b)
        }
        return Float((error / size).squareRoot())
    }

    @Test("ten tiny training steps in float32 have the processor's losses and weights")
    func trainsAsTheProcessor() throws {
        let host = try TinyRun(on: HostDevice.shared), expected = try (0..<10).map { _ in try host.step() }
        try withCard(.float32) { card in
            let run = try TinyRun(on: card), losses = try (0..<10).map { _ in try run.step() }
            for (found, wanted) in zip(losses, expected) { #expect(abs(found - wanted) <= 1e-5 * abs(wanted), "\(losses) against \(expected)") }
            for (found, wanted) in zip(run.weights, host.weights) { #expect(relativeError(found, wanted) < 1e-3) }
            #expect(expected.last != expected.first)
        }
    }

    @Test("a step in bfloat16: the prediction within 2 %, float32 adapters that learn, finite losses")
    func trainsInBFloat16() throws {
        let host = try TinyRun(on: HostDevice.shared), expected = withoutGradients { host.predict() }.array
        try withCard(.bfloat16) { card in
            let run = try TinyRun(on: card), found = withoutGradients { run.predict() }.array
            #expect(relativeError(found, expected) < 0.02)
            let before = run.weights, losses = try (0..<2).map { _ in try run.step() }
            #expect(losses.allSatisfy(\.isFinite) && run.weights != before)
            #expect(run.parameters.allSatisfy { $0.value.dtype == .float32 && $0.value.device === card })
        }
    }

    @Test("out of memory is an error that a device gets over; a fault in a kernel is one that it does not")
    func fails() throws {
        try withCard(.float32, memory: 512 << 20) { card in
            let small = Tensor.ones([1024]).moved(to: card)
            _ = Tensor.zeros([256 << 20], on: card)
            guard case .outOfMemory(device: "cuda:0", let bytes, _) = card.failure else {
                Issue.record("\(String(describing: card.failure)) is no lack of memory")
                return
            }
            #expect(bytes >= 1 << 30)
            #expect((small + small).array.allSatisfy { $0 == 0 })
            #expect(throws: DeviceFailure.self) { try card.checkFailure() }
            #expect((small + small).array == [Float](repeating: 2, count: 1024))
            emulated_fail("cuStreamSynchronize", 700, 0)
            card.synchronise()
            card.clearFailure()
            guard case .lost = card.failure else {
                Issue.record("\(String(describing: card.failure)) is no loss")
                return
            }
        }
    }

    @Test("a copy of a weight goes with the weight, and follows it when it is trained")
    func copiesFollow() throws {
        try withCard(.bfloat16) { card in
            let x = Tensor([1, 2], shape: [1, 2]).moved(to: card).converted(to: .bfloat16)
            var weight = Tensor([1, 0, 0, 1], shape: [2, 2]).moved(to: card)
            var mean = Tensor.zeros([2, 2], on: card), square = Tensor.zeros([2, 2], on: card)
            #expect(x.linear(weight).array == [1, 2])
            let step = AdamWStep(learningRate: 0.5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, step: 1)
            weight.adamW(step, gradient: Tensor.ones([2, 2]).moved(to: card), mean: &mean, square: &square)
            #expect(x.linear(weight).array == [-0.5, 0.5])
            let used = card.pool.bytesInUse
            weight = Tensor.zeros([2, 2], on: card)
            #expect(card.pool.bytesInUse < used)
            #expect(x.linear(weight).array == [0, 0])
        }
    }

    @Test("without a library the error names it")
    func missingLibrary() throws {
        emulated_install()
        emulated_hide("cudnn")
        defer { emulated_hide("") }
        #expect { try CUDADevice.open() } throws: { ($0 as? CUDAError)?.kind == .missingLibrary && "\($0)".contains("cuDNN") }
    }
}

/// A denoiser of two levels and an adapter of rank 4, trained on one batch.
private final class TinyRun {
    private let unet: UNet, network: AdapterNetwork, schedule = NoiseSchedule()
    private let latents: Tensor, noise: Tensor, context: Tensor
    private var optimizer = AdamW()
    var parameters: [Parameter] { network.parameters }
    var weights: [[Float]] { parameters.map { $0.value.array } }

    init(on device: any Device) throws {
        var configuration = UNet.Configuration()
        configuration.sampleSize = .one(8)
        configuration.blockOutChannels = [32, 64]
        configuration.downBlockTypes = ["CrossAttnDownBlock2D", "DownBlock2D"]
        configuration.upBlockTypes = ["UpBlock2D", "CrossAttnUpBlock2D"]
        configuration.attentionHeadDim = .one(4)
        configuration.crossAttentionDim = .one(16)
        configuration.layersPerBlock = .one(1)
        unet = try UNet(configuration: configuration, weights: Weights(FreshWeights(seed: 3)))
        unet.registry.move(to: device)
        var generator = TorchGenerator(seed: 5)
        network = try AdapterNetwork(.init(.standard, .init(rank: 4, alpha: 4, unet: .transformer)), model: AdaptableModel(unet: unet.registry), generator: &generator)
        network.attach()
        func normal(_ shape: [Int]) -> Tensor { Tensor(shape: shape) { generator.fillNormal($0) }.moved(to: device) }
        (latents, noise) = (normal([2, 8, 8, 4]), normal([2, 8, 8, 4]))
        context = normal([2, 7, 16]).converted(to: device.activationType)
    }

    func predict() -> Tensor {
        let noisy = schedule.addNoise(latents, noise: noise, timesteps: [300, 700]).converted(to: latents.device.activationType)
        return unet(noisy, timesteps: [300, 700], context: context).converted(to: .float32)
    }

    func step() throws -> Float {
        let loss = predict().meanSquaredError(noise)
        optimizer.step(parameters, gradients: gradients(of: loss, for: parameters.map(\.tensor)), learningRate: 1e-3)
        let value = loss.item()
        try loss.device.checkFailure()
        return value
    }
}
