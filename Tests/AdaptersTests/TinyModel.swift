import Adapters
import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport

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

    func network(_ name: String) throws -> AdapterNetwork {
        try AdapterNetwork(AdapterFile(path: Self.path(name)), model: adaptable, trainable: true)
    }

    var adaptable: AdaptableModel { AdaptableModel(unet: unet.registry, textEncoder: text.registry) }

    /// The network of one of `make_adapter_kinds.py`'s files.
    func adapter(_ name: String) throws -> AdapterNetwork {
        try AdapterNetwork(AdapterFile(path: Self.path("kinds/\(name).safetensors")), model: adaptable)
    }

    /// Text states `[2, 8, 12]`.
    func textStates() -> Tensor { withoutGradients { text.encode(Self.ids) } }

    func fresh(_ specification: LoRASpecification, seed: UInt64 = 1) throws -> AdapterNetwork {
        var generator = TorchGenerator(seed: seed)
        return try AdapterNetwork(.init(.standard, specification), model: adaptable, generator: &generator)
    }
}

/// The SDXL model of `make_adapter_kinds.py`, with weights by formula.
struct TinyXL {
    let unet: UNet
    let texts: [CLIPTextEncoder]

    init() throws {
        unet = try UNet(
            configuration: ConfigurationFile.read(UNet.Configuration.self, TinyModel.path("kinds/xl_unet.json")), weights: Weights(FormulaWeights()))
        texts = try (1...2).map {
            try CLIPTextEncoder(
                configuration: ConfigurationFile.read(CLIPTextEncoder.Configuration.self, TinyModel.path("kinds/xl_text_\($0).json")),
                weights: Weights(FormulaWeights()))
        }
    }

    var adaptable: AdaptableModel {
        AdaptableModel(unet: unet.registry, textEncoder: texts[0].registry, textEncoder2: texts[1].registry)
    }

    /// The denoiser's output `[2, 8, 8, 4]` for the fixture's inputs.
    func output() throws -> Tensor {
        let latents = try TinyModel.expected("latents")
        return withoutGradients {
            let first = texts[0].encodeWithPooled(TinyModel.ids, layerFromEnd: 2), second = texts[1].encodeWithPooled(TinyModel.ids, layerFromEnd: 2)
            let sizes = [
                SizeConditioning(original: (64, 48), crop: (0, 8), target: (96, 96)), SizeConditioning(original: (128, 64), crop: (3, 0), target: (64, 128)),
            ]
            let added = AddedConditions(pooled: second.pooled, sizes: sizes)
            return unet(latents, timesteps: [3, 741], context: Tensor.concatenated([first.states, second.states], axis: 2), added: added)
        }
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
