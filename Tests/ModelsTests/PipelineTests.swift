import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite struct BaseModelTests {
    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures")

    /// A copy of the folder that diffusers wrote, with its tokenizer, under a temporary name.
    static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "pipeline-\(UUID())")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(at: fixtures.appending(path: "models/pipeline"), to: folder)
        try? FileManager.default.removeItem(at: folder.appending(path: "tokenizer"))
        try FileManager.default.copyItem(at: fixtures.appending(path: "tokenizers/clip"), to: folder.appending(path: "tokenizer"))
        try body(folder.path)
    }

    struct Prompts: Decodable { let prompts: [String]; let ids: [[Int]] }

    static func expectAgreement(_ model: BaseModel) throws {
        let prompts = try JSONDecoder().decode(Prompts.self, from: Data(contentsOf: fixtures.appending(path: "models/pipeline.json")))
        let golden = try SafetensorsFile(path: fixtures.appending(path: "models/pipeline.safetensors").path)
        #expect(prompts.prompts.map { model.tokenizer.encode($0) } == prompts.ids)
        let latents = FormulaWeights.signed("latents", [2, 8, 8, 4])
        let states = model.condition(prompts.prompts).context
        #expect(relativeError(states, try golden.tensor("states")) < modelTolerance)
        #expect(relativeError(model.unet(latents, timesteps: [3, 741.5], context: states), try golden.tensor("denoised")) < modelTolerance)
        #expect(relativeError(model.autoencoder.decode(latents), try golden.tensor("decoded")) < modelTolerance)
    }

    @Test("a folder of diffusers, half precision and in shards, computes what diffusers computes", arguments: [nil, DType.float32])
    func load(precision: DType?) throws {
        try Self.withFolder { folder in
            let model = try BaseModel.load(folder: folder, precision: precision)
            try Self.expectAgreement(model)
            #expect(model.family == .sd1 && model.scale == 2 && model.scalingFactor == 0.25)
            #expect(model.sizes.map(\.name) == ["text encoder", "unet", "autoencoder"])
            let unet = model.sizes[1]
            #expect(precision == nil ? unet.bytes < 3 * unet.parameters : unet.bytes == 4 * unet.parameters)
        }
    }

    @Test("a model written out and read again is the same, and an existing folder is left alone")
    func roundTrip() throws {
        try Self.withFolder { folder in
            let model = try BaseModel.load(folder: folder)
            let copy = folder + "-copy"
            defer { try? FileManager.default.removeItem(atPath: copy) }
            try model.write(to: copy, tokenizer: folder + "/tokenizer", dtype: .float16)
            try Self.expectAgreement(BaseModel.load(folder: copy))
            #expect(throws: ConfigurationError.self) { try model.write(to: copy, tokenizer: folder + "/tokenizer") }
            #expect(throws: ConfigurationError.self) { try model.write(to: copy + "-2", tokenizer: folder + "/missing") }
            #expect(!FileManager.default.fileExists(atPath: copy + "-2"))
        }
    }

    @Test("what is missing or does not fit is told with its file")
    func errors() throws {
        func broken(_ change: (String) throws -> Void) throws -> any Error {
            var caught: (any Error)?
            try Self.withFolder { folder in
                try change(folder)
                do { _ = try BaseModel.load(folder: folder) } catch { caught = error }
            }
            return try #require(caught)
        }
        func write(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }
        let noIndex = try broken { try FileManager.default.removeItem(atPath: $0 + "/model_index.json") }
        #expect("\(noIndex)".contains("model_index.json cannot be read: there is no such file"))
        let otherClass = try broken { try write(#"{"unet": ["diffusers", "FluxTransformer2DModel"], "text_encoder": ["transformers", "CLIPTextModel"]}"#, $0 + "/model_index.json") }
        #expect("\(otherClass)".contains("unet = FluxTransformer2DModel") && "\(otherClass)".contains("expected UNet2DConditionModel"))
        let noScheduler = try broken { try FileManager.default.removeItem(atPath: $0 + "/scheduler/scheduler_config.json") }
        #expect("\(noScheduler)".contains("scheduler_config.json"))
        let noJSON = try broken { try write("not JSON", $0 + "/vae/config.json") }
        #expect("\(noJSON)".contains("vae/config.json is not a valid configuration"))
        let wrongType = try broken { try write(#"{"in_channels": "four"}"#, $0 + "/unet/config.json") }
        #expect("\(wrongType)".contains("in_channels is not of type Int"))
        let noWeights = try broken { try FileManager.default.removeItem(atPath: $0 + "/vae/diffusion_pytorch_model.safetensors") }
        #expect(noWeights is CheckpointError && "\(noWeights)".contains("/vae"))
        let narrow = try broken { folder in
            let path = folder + "/unet/config.json"
            let text = try String(contentsOfFile: path, encoding: .utf8).replacingOccurrences(of: "\"in_channels\": 4", with: "\"in_channels\": 9")
            try write(text, path)
        }
        #expect("\(narrow)".contains("conv_in.weight"))
    }
}

@Suite struct BLIPCaptionerTests {
    @Test("a captioner written out reads back and captions the same; the prompt is not part of the caption")
    func roundTrip() throws {
        var configuration = BLIP.Configuration()
        configuration.vision.hiddenSize = 24
        configuration.vision.intermediateSize = 32
        configuration.vision.numHiddenLayers = 1
        configuration.vision.numAttentionHeads = 2
        configuration.vision.imageSize = 16
        configuration.vision.patchSize = 8
        configuration.text.encoderHiddenSize = 24
        configuration.text.hiddenSize = 32
        configuration.text.intermediateSize = 32
        configuration.text.numHiddenLayers = 1
        configuration.text.numAttentionHeads = 2
        configuration.text.maxPositionEmbeddings = 32
        let vocabulary = BaseModelTests.fixtures.appending(path: "tokenizers/bert/vocab.txt").path
        let tokenizer = try BERTTokenizer(vocabulary: vocabulary, added: ["[DEC]", "[ENC]"])
        configuration.text.vocabSize = tokenizer.vocabularySize
        configuration.text.bosTokenID = try #require(tokenizer.id("[DEC]"))
        configuration.text.sepTokenID = tokenizer.separatorID
        let captioner = BLIPCaptioner(
            model: try BLIP(configuration: configuration, weights: Weights(FormulaWeights())), tokenizer: tokenizer, location: "memory")
        let folder = FileManager.default.temporaryDirectory.appending(path: "blip-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try captioner.write(to: folder, vocabulary: vocabulary)
        let read = try BLIPCaptioner.load(folder: folder)

        let pixels = FormulaWeights.signed("picture", [2, read.imageSize, read.imageSize, 3])
        let captions = captioner.caption(pixels)
        #expect(read.caption(pixels) == captions && captions.allSatisfy { !$0.isEmpty })
        let prompted = captioner.caption(pixels, prompt: "a")
        let ids = captioner.model.generate(captioner.normalised(pixels), prompt: tokenizer.tokenize("a"))
        #expect(prompted == ids.map { tokenizer.decode(Array($0.dropFirst(2))) })
    }

    @Test("pixels are normalised by CLIP's mean and deviation of each colour")
    func normalisation() throws {
        let captioner = BLIPCaptioner(
            model: try BLIPTests.load().2,
            tokenizer: try BERTTokenizer(vocabulary: BaseModelTests.fixtures.appending(path: "tokenizers/bert/vocab.txt").path), location: "memory")
        let found = captioner.normalised(Tensor([-1, 0, 1], shape: [1, 1, 1, 3])).array
        let expected: [Float] = [(0 - 0.48145466) / 0.26862954, (0.5 - 0.4578275) / 0.26130258, (1 - 0.40821073) / 0.27577711]
        for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-5) }
    }
}
