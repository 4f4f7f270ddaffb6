import Checkpoints
import Foundation
import Models
import Neural
import Synchronization
import TensorCore
import TestSupport
import Testing

/// Base models in one file.
@Suite struct OriginalFileTests {
    static let families: [(name: String, family: BaseModel.Family)] = [("original_sd1", .sd1), ("original_sd2", .sd2), ("original_sdxl", .sdxl)]

    static func expectAgreement(_ model: BaseModel, _ name: String, tolerance: Float = modelTolerance) throws {
        let golden = try SafetensorsFile(path: BaseModelTests.fixtures.appending(path: "models/\(name).safetensors").path)
        let states = model.condition(try OriginalModel.record(name).prompts), (context, pooled) = (states.context, states.pooled)
        #expect(relativeError(context, try golden.tensor("states")) < tolerance)
        if let pooled { #expect(relativeError(pooled, try golden.tensor("pooled")) < tolerance) }
        let denoised = try golden.tensor("denoised")
        let latents = FormulaWeights.signed("latents", denoised.shape)
        let added = pooled.map {
            AddedConditions(pooled: $0, sizes: [
                SizeConditioning(original: (64, 48), crop: (0, 8), target: (96, 96)), SizeConditioning(original: (128, 64), crop: (3, 0), target: (64, 128)),
            ])
        }
        #expect(relativeError(model.unet(latents, timesteps: [3, 741.5], context: context, added: added), denoised) < tolerance)
        #expect(relativeError(model.autoencoder.decode(latents), try golden.tensor("decoded")) < tolerance)
    }

    /// Float16 keeps 11 bits and bfloat16 8 of each weight; fifty layers add up to some ten roundings.
    static let precisions: [(dtype: DType, tolerance: Float)] = [(.float32, modelTolerance), (.float16, 5e-3), (.bfloat16, 5e-2)]

    @Test("a single file computes what diffusers computes from it, in every family and precision", arguments: families, precisions)
    func agrees(_ item: (name: String, family: BaseModel.Family), _ stored: (dtype: DType, tolerance: Float)) throws {
        try OriginalModel.withFile(item.name, dtype: stored.dtype) { path in
            let model = try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary))
            #expect(model.family == item.family && model.zerosForEmptyPrompt == (item.family == .sdxl))
            #expect(model.scalingFactor == (item.family == .sdxl ? 0.13025 : 0.18215))
            try Self.expectAgreement(model, item.name, tolerance: stored.tolerance)
        }
    }

    @Test("a PyTorch checkpoint of the same tensors is the same model", arguments: families)
    func torch(_ item: (name: String, family: BaseModel.Family)) throws {
        try OriginalModel.withFile(item.name) { path in
            let file = try SafetensorsFile(path: path), checkpoint = String(path.dropLast("model.safetensors".count)) + "model.ckpt"
            try Data(try TorchArchive(file).bytes).write(to: URL(fileURLWithPath: checkpoint))
            try Self.expectAgreement(BaseModel.load(path: checkpoint, options: .init(tokenizer: OriginalModel.vocabulary)), item.name)
        }
    }

    @Test("written as a diffusers folder and read again it is the same", arguments: families)
    func asFolder(_ item: (name: String, family: BaseModel.Family)) throws {
        try OriginalModel.withFile(item.name) { path in
            let folder = String(path.dropLast("model.safetensors".count)) + "folder"
            try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary)).write(to: folder, tokenizer: OriginalModel.vocabulary)
            guard item.family == .sd1 else {                             // their padding stands in the tokenizer's configuration
                let padded = #"{"pad_token": "!", "model_max_length": 77}"#
                let last = item.family == .sdxl ? "tokenizer_2" : "tokenizer"
                try Data(padded.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(last)/tokenizer_config.json"))
                try Data(#"{"pad_token": "!"}"#.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(last)/special_tokens_map.json"))
                return try Self.expectAgreement(BaseModel.load(path: folder), item.name)
            }
            try Self.expectAgreement(BaseModel.load(path: folder), item.name)
        }
    }

    @Test("averaged weights, tables of the schedule and counters beside the weights change nothing")
    func extras() throws {
        try OriginalModel.withFile("original_sd1", change: { tensors in
            for key in ["model_ema.diffusion_modelconv", "betas", "alphas_cumprod_prev", "sqrt_recip_alphas_cumprod", "posterior_variance", "global_step",
                "cond_stage_model.transformer.text_model.embeddings.position_ids", "cond_stage_model.logit_scale", "first_stage_model.loss.logvar"] {
                tensors[key] = Tensor.zeros([3])
            }
            for key in tensors.keys where key.contains(".attn_1.") && key.hasSuffix("weight") && tensors[key]!.rank == 4 {
                tensors[key] = tensors[key]!.reshaped(Array(tensors[key]!.shape.prefix(2)))       // as matrices, not kernels
            }
            for key in tensors.keys where key.hasPrefix("cond_stage_model.transformer.text_model.") {
                tensors[key.replacingOccurrences(of: "text_model.", with: "")] = tensors.removeValue(forKey: key)
            }
        }) { path in
            try Self.expectAgreement(BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary)), "original_sd1")
        }
    }

    @Test("a key that no part has a place for is named", arguments: [
        "model.diffusion_model.input_blocks.1.0.gate.weight", "first_stage_model.encoder.down.0.attn.0.q.weight", "something.else",
        "model.diffusion_model.middle_block.1.extra.weight",
    ])
    func unknownKey(_ key: String) throws {
        try OriginalModel.withFile("original_sd1", change: { $0[key] = Tensor.zeros([3]) }) { path in
            let error = #expect(throws: CheckpointError.self) { try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary)) }
            guard case .unusedKeys(let keys, _)? = error else { return #expect(Bool(false), "\(String(describing: error))") }
            #expect(keys.count == 1 && key.hasSuffix(keys[0].split(separator: ".").suffix(2).joined(separator: ".")))
        }
    }

    @Test("a missing tensor is named")
    func missingKey() throws {
        let key = "model.diffusion_model.middle_block.2.in_layers.2.bias"
        try OriginalModel.withFile("original_sd1", change: { $0[key] = nil }) { path in
            #expect(throws: CheckpointError.self) { try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary)) }
        }
    }

    @Test("the scheduler is the one of the family's diffusers release; what the file leaves open is noted")
    func schedulers() throws {
        func scheduler(_ name: String, _ prediction: Prediction? = nil, mark: String? = nil) throws -> (values: [String: Any], notes: [String]) {
            var result: ([String: Any], [String]) = ([:], [])
            try OriginalModel.withFile(name, change: { if let mark { $0[mark] = Tensor.zeros([0]) } }) { path in
                let model = try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary, prediction: prediction))
                result = (try #require(JSONSerialization.jsonObject(with: model.schedulerConfiguration) as? [String: Any]), model.notes)
            }
            return result
        }
        let sd1 = try scheduler("original_sd1"), sd2 = try scheduler("original_sd2"), base = try scheduler("original_sd2", .epsilon)
        let xl = try scheduler("original_sdxl"), velocityXL = try scheduler("original_sdxl", mark: "v_pred")
        #expect(sd1.values["_class_name"] as? String == "PNDMScheduler" && sd1.values["prediction_type"] as? String == "epsilon" && sd1.notes.isEmpty)
        #expect(sd2.values["prediction_type"] as? String == "v_prediction" && sd2.notes.count == 1)
        #expect(base.values["prediction_type"] as? String == "epsilon" && base.notes.isEmpty)
        #expect(xl.values["_class_name"] as? String == "EulerDiscreteScheduler" && xl.values["timestep_spacing"] as? String == "leading")
        #expect(velocityXL.values["prediction_type"] as? String == "v_prediction")
        for values in [sd1.values, sd2.values, xl.values] {
            #expect(values["beta_start"] as? Double == 0.00085 && values["beta_end"] as? Double == 0.012 && values["beta_schedule"] as? String == "scaled_linear")
        }
    }

    @Test("the tokenizer is looked for beside the file; without one the error names the command")
    func tokenizers() throws {
        try OriginalModel.withFile("original_sd1") { path in
            let missing = #expect(throws: ModelFileError.self) { try BaseModel.load(path: path, options: .init(tokenizer: "/nowhere")) }
            #expect(missing?.wayOut.contains("loralab fetch-vocabulary") == true)
            let folder = String(path.dropLast("/model.safetensors".count))
            try FileManager.default.copyItem(atPath: OriginalModel.vocabulary, toPath: folder + "/tokenizer")
            try Self.expectAgreement(BaseModel.load(path: path), "original_sd1")
        }
    }

    @Test("progress goes from nothing to everything and names each part")
    func progress() throws {
        let seen = Mutex<[(Double, String)]>([])
        try OriginalModel.withFile("original_sdxl") { path in
            _ = try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary) { fraction, part in seen.withLock { $0.append((fraction, part)) } })
        }
        let events = seen.withLock { $0 }
        #expect(zip(events, events.dropFirst()).allSatisfy { $0.0 <= $1.0 } && events.last?.0 == 1)
        #expect(Set(events.map(\.1)) == ["text encoder", "second text encoder", "unet", "autoencoder"])
    }

    // MARK: Another autoencoder

    @Test("another autoencoder is read from a folder, from diffusers' names and from the original ones, with and without prefix")
    func autoencoders() throws {
        try OriginalModel.withFile("original_sd1") { path in
            let folder = String(path.dropLast("/model.safetensors".count))
            let model = try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary))
            try model.write(to: folder + "/folder", tokenizer: OriginalModel.vocabulary)
            let file = try SafetensorsFile(path: path), prefix = "first_stage_model."
            let own = try file.keys.filter { $0.hasPrefix(prefix) }.map { ($0, try file.tensor($0)) }
            try SafetensorsWriter.write(own.map { ($0.0, $0.1) }, to: folder + "/prefixed.safetensors")
            try SafetensorsWriter.write(own.map { (String($0.0.dropFirst(prefix.count)), $0.1) }, to: folder + "/bare.safetensors")
            let rest = try file.keys.filter { !$0.hasPrefix(prefix) }.map { ($0, try file.tensor($0)) }
            try SafetensorsWriter.write(rest.map { ($0.0, $0.1) }, to: folder + "/without.safetensors")

            let missing = #expect(throws: ModelFileError.self) { try BaseModel.load(path: folder + "/without.safetensors", options: .init(tokenizer: OriginalModel.vocabulary)) }
            #expect(missing?.description.contains("autoencoder") == true && missing?.wayOut.contains("--vae") == true)
            for vae in ["folder/vae", "folder/vae/diffusion_pytorch_model.safetensors", "prefixed.safetensors", "bare.safetensors", "model.safetensors"] {
                for base in ["without.safetensors", "folder"] {
                    let options = BaseModel.LoadOptions(vae: "\(folder)/\(vae)", tokenizer: OriginalModel.vocabulary)
                    try Self.expectAgreement(BaseModel.load(path: "\(folder)/\(base)", options: options), "original_sd1")
                }
            }
            #expect(throws: ModelFileError.self) { try AutoencoderKL.load(path: folder + "/without.safetensors") }
        }
    }

    // MARK: Other files

    static let others: [(keys: [String: [Int]], name: String)] = [
        (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": [4, 32]], "an adapter (LoRA"),
        (["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": [4, 32]], "an adapter (LoRA"),
        (["lora_te_text_model_encoder_layers_0_mlp_fc1.hada_w1_a": [4, 4]], "LoHa"),
        (["control_model.input_blocks.0.0.weight": [32, 4, 3, 3]], "ControlNet"), (["controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3]], "ControlNet"),
        (["encoder.down.0.block.0.conv1.weight": [8, 8, 3, 3], "decoder.conv_in.weight": [8, 4, 3, 3]], "an autoencoder (VAE) alone"),
        (["first_stage_model.encoder.down.0.block.0.conv1.weight": [8, 8, 3, 3], "first_stage_model.decoder.conv_in.weight": [8, 4, 3, 3]], "an autoencoder (VAE) alone"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight": [8, 8, 3, 3]], "an autoencoder (VAE) alone"),
        (["text_model.embeddings.token_embedding.weight": [9, 4]], "a text encoder alone"),
        (["input_blocks.0.0.weight": [32, 4, 3, 3]], "a UNet alone"), (["down_blocks.0.resnets.0.conv1.weight": [8], "time_embedding.linear_1.weight": [8]], "a UNet alone"),
        (["model.diffusion_model.input_blocks.0.0.weight": [32, 9, 3, 3]], "inpainting"), (["model.diffusion_model.input_blocks.0.0.weight": [32, 8, 3, 3]], "InstructPix2Pix"),
        (["model.diffusion_model.input_blocks.0.0.weight": [32, 4, 3, 3], "conditioner.embedders.0.model.ln_final.weight": [8]], "refiner"),
        (["model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight": [8]], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight": [8]], "Flux"), (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight": [8]], "Flux"),
        (["adaln_single.emb.timestep_embedder.linear_1.weight": [8]], "diffusion transformer"),
    ]
    @Test("a file that is something else is called by its name, with the way out", arguments: others)
    func something(_ item: (keys: [String: [Int]], name: String)) throws {
        try OriginalModel.write(item.keys.mapValues { Tensor.zeros($0) }) { path in
            let error = #expect(throws: ModelFileError.self) { try BaseModel.load(path: path) }
            #expect(error?.description.contains(item.name) == true, "\(String(describing: error))")
            #expect(error?.wayOut.isEmpty == false)
        }
    }

    @Test("what is no file of weights is called by its name", arguments: [
        ("GGUF\u{3}.........", "GGUF"), ("version https://git-lfs.github.com/spec/v1\n", "Git LFS"), ("<!DOCTYPE html><html>", "HTML"), ("PK\u{3}\u{4}half", "cut short"),
    ])
    func noWeights(_ item: (content: String, name: String)) throws {
        try OriginalModel.write(["a": Tensor.zeros([1])]) { path in
            try Data(item.content.utf8).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: CheckpointError.self) { try BaseModel.load(path: path) }
            #expect(error?.description.contains(item.name) == true && error?.wayOut.isEmpty == false)
            try SafetensorsWriter.write([("a", Tensor.zeros([100]))], to: path)
            #expect(truncate(path, 300) == 0)
            let short = #expect(throws: CheckpointError.self) { try BaseModel.load(path: path) }
            #expect(short?.description.contains("cut short") == true)
        }
    }

    @Test("a file without any sign says what it lacks")
    func unknown() throws {
        try OriginalModel.write(["weight": Tensor.zeros([3])]) { path in
            #expect(throws: ModelFileError.self) { try BaseModel.load(path: path) }
        }
        try OriginalModel.write(["model.diffusion_model.input_blocks.0.0.weight": Tensor.zeros([32, 4, 3, 3])]) { path in
            let error = #expect(throws: ModelFileError.self) { try BaseModel.load(path: path) }
            #expect(error?.description.contains("no text encoder") == true)
        }
    }

    /// Bytes of a whole model's file changed at random: what opens must be refused by type or load.
    @Test("damaged files of a whole model give a typed error or a model")
    func fuzzed() throws {
        var generator = TorchGenerator(seed: 3)
        try OriginalModel.withFile("original_sd1", dtype: .float16) { path in
            let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
            let header = 8 + Int(whole[0]) + Int(whole[1]) << 8 + Int(whole[2]) << 16
            for _ in 0..<60 {
                var content = whole
                for _ in 0...generator.integer(below: 3) { content[generator.integer(below: header)] = UInt8(32 + generator.integer(below: 96)) }
                try Data(content).write(to: URL(fileURLWithPath: path))
                do { _ = try BaseModel.load(path: path, options: .init(tokenizer: OriginalModel.vocabulary)) } catch {
                    #expect(error is CheckpointError || error is ModelFileError || error is ConfigurationError, "\(error)")
                }
            }
        }
    }
}

/// A `.ckpt` of a safetensors file's tensors as `torch.save` writes it: the pickle's few opcodes, and a stored zip around.
struct TorchArchive {
    let bytes: [UInt8]

    init(_ file: SafetensorsFile) throws {
        func text(_ value: String) -> [UInt8] { [0x58] + u32(value.utf8.count) + Array(value.utf8) }
        func tuple(_ numbers: [Int]) -> [UInt8] { [0x28] + numbers.flatMap { [0x4A] + u32($0) } + [0x74] }
        var pickle: [UInt8] = [0x80, 2, 0x7D, 0x28] + text("state_dict") + [0x7D, 0x28], storages: [(String, [UInt8])] = []
        for (index, key) in file.keys.enumerated() {
            let shape = try file.entry(key).shape, count = shape.reduce(1, *)
            let strides = shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
            pickle += text(key) + Array("ctorch._utils\n_rebuild_tensor_v2\n".utf8) + [0x28, 0x28] + text("storage") + Array("ctorch\nFloatStorage\n".utf8)
            pickle += text("\(index)") + text("cpu") + [0x4A] + u32(count) + [0x74, 0x51, 0x4B, 0] + tuple(shape) + tuple(strides) + [0x89, 0x7D, 0x74, 0x52]
            storages.append(("model/data/\(index)", try file.withBytes(key) { Array($0) }))
        }
        bytes = StoredZip([("model/data.pkl", pickle + [0x75, 0x75, 0x2E])] + storages).bytes
    }
}

private func u32(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (8 * $0) & 255) } }
