import Adapters
import Checkpoints
import Foundation
import Models
import Neural
import TensorCore

/// The base model of `make_adapters.py`, read from its fixture.
struct TinyModel {
    let unet: UNet
    let text: CLIPTextEncoder
    static let ids = [[62, 5, 9, 1, 63, 63, 63, 63], [62, 33, 63, 63, 63, 63, 63, 63]]

    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/adapters/\(name)").path
    }

    init() throws {
        unet = try UNet(
            configuration: ConfigurationFile.read(UNet.Configuration.self, Self.path("unet.json")),
            weights: Weights(SafetensorsFile(path: Self.path("unet.safetensors"))))
        text = try CLIPTextEncoder(
            configuration: ConfigurationFile.read(CLIPTextEncoder.Configuration.self, Self.path("text_encoder.json")),
            weights: Weights(SafetensorsFile(path: Self.path("text_encoder.safetensors"))))
    }

    /// The denoiser's output `[2, 8, 8, 4]` for the fixture's inputs.
    func output() throws -> Tensor {
        let latents = try SafetensorsFile(path: Self.path("outputs.safetensors")).tensor("latents")
        return withoutGradients { unet(latents, timesteps: [3, 741], context: text.encode(Self.ids)) }
    }

    static func expected(_ name: String) throws -> Tensor { try SafetensorsFile(path: path("outputs.safetensors")).tensor(name) }

    func network(_ name: String) throws -> LoRANetwork {
        try LoRANetwork(LoRAFile(path: Self.path(name)), unet: unet.registry, textEncoder: text.registry)
    }

    func fresh(_ specification: LoRASpecification, seed: UInt64 = 1) throws -> LoRANetwork {
        var generator = TorchGenerator(seed: seed)
        return try LoRANetwork(specification, unet: unet.registry, textEncoder: text.registry, generator: &generator)
    }
}

/// A folder that is gone when the test ends.
final class TemporaryFolder {
    let path: String
    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "loralab-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func file(_ name: String) -> String { path + "/" + name }
}
