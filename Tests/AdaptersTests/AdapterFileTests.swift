import Adapters
import Checkpoints
import Foundation
import Neural
import TensorCore
import TestSupport
import Testing

/// Float32 through about twenty layers, computed in another order than PyTorch's.
private let modelTolerance = 5e-5

@Suite("AdapterFile") struct AdapterFileTests {
    static let lycoris = [
        "locon", "locon_tucker", "locon_norm", "loha", "loha_tucker", "lokr", "lokr_both", "lokr_full", "lokr_tucker", "full", "dora", "dora_input",
        "dora_loha", "dora_lokr",
    ]
    static let others = ["dylora", "peft_patterns", "peft_stabilised", "peft_dora", "peft_model", "old_diffusers"]

    static func file(_ name: String) throws -> AdapterFile {
        try AdapterFile(path: TinyModel.path(name == "peft_model" ? "kinds/peft_model/adapter_model.safetensors" : "kinds/\(name).safetensors"))
    }

    static func expected(_ name: String) throws -> Tensor { try SafetensorsFile(path: TinyModel.path("kinds/outputs.safetensors")).tensor(name) }

    @Test("every kind computes what its own library computes", arguments: lycoris + others)
    func followsItsLibrary(name: String) throws {
        let model = try TinyModel(), base = try model.output()
        let network = try AdapterNetwork(Self.file(name), model: model.adaptable)
        network.attach()
        expectClose(try model.output(), try Self.expected(name), relative: modelTolerance, name)
        expectClose(model.textStates(), try Self.expected("\(name).text"), relative: modelTolerance, "\(name), text")
        network.detach()
        #expect(try model.output().array == base.array)
    }

    @Test("strengths other than 1 are LyCORIS' own, DoRA's included", arguments: lycoris)
    func strengths(name: String) throws {
        let model = try TinyModel(), network = try model.adapter(name)
        network.setMultiplier(unet: 0.6, textEncoder: 0.6)
        network.attach()
        expectClose(try model.output(), try Self.expected("\(name).weaker"), relative: modelTolerance, name)
        expectClose(model.textStates(), try Self.expected("\(name).weaker.text"), relative: modelTolerance, "\(name), text")
    }

    @Test("DyLoRA's blocks are the same as its plain matrices") func blocks() throws {
        let model = try TinyModel()
        try model.adapter("dylora_blocks").attach()
        expectClose(try model.output(), try Self.expected("dylora"), relative: modelTolerance)
    }

    @Test("merged equals applied", arguments: lycoris) func merging(name: String) throws {
        let model = try TinyModel(), network = try model.adapter(name)
        network.setMultiplier(unet: 0.7, textEncoder: 0.4)
        network.attach()
        let applied = try model.output()
        network.detach()
        network.merge()
        expectClose(try model.output(), applied, relative: modelTolerance, name)
    }

    @Test("several networks add up, each with its strengths, and leave the base as it was") func several() throws {
        let model = try TinyModel(), base = try model.output()
        let a = try model.adapter("loha"), b = try model.adapter("locon_norm")
        a.setMultiplier(unet: 0.8, textEncoder: 0.8)
        b.setMultiplier(unet: 0.5, textEncoder: 0.3)
        a.attach()
        b.attach()
        let together = try model.output()
        for network in [b, a] { network.detach() }
        #expect(try model.output().array == base.array)
        for network in [a, b] { network.merge() }
        expectClose(try model.output(), together, relative: modelTolerance)
    }

    @Test("a file written again computes the same", arguments: lycoris + others) func writtenAgain(name: String) throws {
        let model = try TinyModel(), folder = try TemporaryFolder()
        try AdapterNetwork(Self.file(name), model: model.adaptable).write(to: folder.file("again.safetensors"))
        let written = try AdapterFile(path: folder.file("again.safetensors"))
        #expect(written.metadata["sshs_model_hash"]?.count == 64 && written.metadata["sshs_legacy_hash"]?.count == 8)
        try AdapterNetwork(written, model: model.adaptable).attach()
        expectClose(try model.output(), try Self.expected(name), relative: modelTolerance, name)
    }

    @Test("an adapter is its own copy: what becomes of its file does not reach it") func ownCopy() throws {
        let model = try TinyModel(), folder = try TemporaryFolder(), path = folder.file("large.safetensors")
        let rank = 2048         // large enough that a model's tensor would stay in its file
        let pair = [("\(name).lora_down.weight", Tensor.ones([rank, 16])), ("\(name).lora_up.weight", Tensor.ones([16, rank]) * 0.5)]
        try SafetensorsWriter.write(pair.map { (name: $0.0, tensor: $0.1) }, to: path)
        let network = try AdapterNetwork(AdapterFile(path: path), model: model.adaptable), former = network.parameters.map(\.value.array)
        let file = FileHandle(forUpdatingAtPath: path)!
        try file.write(contentsOf: Data(repeating: 0x3E, count: try Data(contentsOf: URL(fileURLWithPath: path)).count))
        #expect(network.parameters.map(\.value.array) == former)
        try file.truncate(atOffset: 10)
        #expect(network.parameters.map(\.value.array) == former)
    }

    @Test("a frozen network's output follows its values when they are restored") func restoring() throws {
        let model = try TinyModel(), network = try model.adapter("lokr")
        network.attach()
        let output = try model.output(), snapshot = network.snapshot()
        for adapter in network.adapters { adapter.set(adapter.parameters.map { .zeros($0.value.shape) }, alpha: nil) }
        #expect(try model.output().array != output.array)
        network.restore(snapshot)
        #expect(try model.output().array == output.array)
    }

    // MARK: SDXL

    @Test("SDXL's files in Kohya's names compute what diffusers computes with them, and are written the same") func xl() throws {
        let model = try TinyXL(), folder = try TemporaryFolder(), base = try Self.expected("xl")
        expectClose(try model.output(), base, relative: modelTolerance)
        let network = try AdapterNetwork(AdapterFile(path: TinyModel.path("kinds/xl.safetensors")), model: model.adaptable)
        network.attach()
        expectClose(try model.output(), try Self.expected("xl_kohya"), relative: modelTolerance)
        try network.write(to: folder.file("again.safetensors"), precision: .float16)
        let source = try SafetensorsFile(path: TinyModel.path("kinds/xl.safetensors")), written = try SafetensorsFile(path: folder.file("again.safetensors"))
        #expect(written.entries == source.entries)
        for key in source.keys { #expect(try written.tensor(key).array == source.tensor(key).array, "\(key)") }
    }

    @Test("SDXL's files in diffusers' names are read, too") func xlDiffusersNames() throws {
        let model = try TinyXL(), folder = try TemporaryFolder(), source = try SafetensorsFile(path: TinyModel.path("kinds/xl.safetensors"))
        let naming = model.adaptable.naming
        let renamed = try source.keys.map { key -> (name: String, tensor: Tensor) in
            let dot = key.firstIndex(of: ".")!, layer = try #require(naming.layer(named: String(key[..<dot])))
            return (layer.part.name(ofLayer: layer.path) + key[dot...], try source.tensor(key))
        }
        try SafetensorsWriter.write(renamed, to: folder.file("named.safetensors"))
        try AdapterNetwork(AdapterFile(path: folder.file("named.safetensors")), model: model.adaptable).attach()
        expectClose(try model.output(), try Self.expected("xl_kohya"), relative: modelTolerance)
    }

    // MARK: What is refused

    private let name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"

    /// Writes tensors and reads them as an adapter of the tiny model.
    private func network(_ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:], model: AdaptableModel? = nil) throws -> AdapterNetwork {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write(tensors, metadata: metadata, to: folder.file("x.safetensors"))
        return try AdapterNetwork(AdapterFile(path: folder.file("x.safetensors")), model: model ?? TinyModel().adaptable)
    }

    private func pair(_ name: String) -> [(name: String, tensor: Tensor)] { [("\(name).lora_down.weight", .ones([2, 16])), ("\(name).lora_up.weight", .ones([16, 2]))] }

    @Test("keys of no known adapter are named, with what the file seems to be", arguments: [
        ("model.diffusion_model.input_blocks.0.0.weight", "a whole checkpoint"), ("lora_unet_x.oft_blocks", "an OFT or BOFT adapter"), ("lora_unet_x.on_input", "an (IA)³ adapter"),
        ("lora_unet_x.a1.weight", "a GLoRA adapter"), ("emb_params", "a textual inversion"), ("transformer.blocks.0.lora_A.bias", "an adapter of a transformer model (Stable Diffusion 3, Flux …)"),
    ])
    func unknownKeys(key: String, seems: String) throws {
        do {
            _ = try network([(key, .ones([2, 2]))])
            Issue.record("\(key) was accepted")
        } catch AdapterError.unknownKeys(let keys, let count, let guess, _) { #expect(keys == [key] && count == 1 && guess == seems) }
    }

    @Test("modules without a layer are refused by name; those of a part that is not loaded are listed") func missingLayers() throws {
        let model = try TinyModel()
        do {
            _ = try network(pair(name) + pair("lora_unet_nowhere"))
            Issue.record("an unknown module was accepted")
        } catch AdapterError.unknownModules(let names, let count, _) { #expect(names == ["lora_unet_nowhere"] && count == 1) }
        let text = "lora_te_text_model_encoder_layers_0_mlp_fc1"
        let unetOnly = try network(pair(name) + pair(text), model: AdaptableModel(unet: model.unet.registry))
        #expect(unetOnly.skipped == [text] && unetOnly.adapters.count == 1)
    }

    @Test("parts that do not fit each other or the layer are refused", arguments: [
        ["lora_down.weight": [2, 16]], ["lora_down.weight": [2, 16], "lora_up.weight": [16, 3]], ["lora_down.weight": [2, 16], "lora_up.weight": [32, 2]],
        ["lora_down.weight": [2, 16], "lora_up.weight": [16, 2], "lora_mid.weight": [2, 3, 3, 3]], ["lora_down.weight": [2, 16], "lora_up.weight": [16, 2], "hada_w1_a": [2, 2]],
        ["hada_w1_a": [16, 2], "hada_w1_b": [2, 16], "hada_w2_a": [16, 3], "hada_w2_b": [3, 16]], ["hada_w1_a": [16, 2], "hada_w1_b": [2, 16]],
        ["hada_w1_a": [8, 2], "hada_w1_b": [2, 16], "hada_w2_a": [8, 2], "hada_w2_b": [2, 16]], ["lokr_w1": [4, 4]], ["lokr_w1": [4, 4], "lokr_w2": [4, 5]],
        ["lokr_w1": [4, 4], "lokr_w2_a": [4, 2], "lokr_w2_b": [3, 4]], ["lokr_w1": [4, 4], "lokr_w2": [4, 4], "lokr_t2": [2, 2, 3, 3]], ["diff": [16, 15]],
        ["diff": [16, 16], "diff_b": [15]], ["diff_b": [16]], ["w_norm": [16]], ["alpha": []], ["down_list.0": [2, 16], "up_list.1": [16, 2]],
        ["lora_down.weight": [2, 16], "lora_up.weight": [16, 2], "dora_scale": [7, 1]], ["lora_down.weight": [0, 16], "lora_up.weight": [16, 0]],
    ] as [[String: [Int]]])
    func malformed(shapes: [String: [Int]]) throws {
        #expect(throws: AdapterError.self) { try network(shapes.sorted { $0.key < $1.key }.map { ("\(name).\($0.key)", .ones($0.value)) }) }
    }

    @Test("a description of PEFT's that cannot be read is refused", arguments: ["[]", "{", "{\"unet.lora_alpha\": \"two\"}"])
    func badConfiguration(text: String) throws {
        #expect(throws: AdapterError.self) { try network(pair(name), metadata: ["lora_adapter_metadata": text]) }
    }

    @Test("damaged files end in a typed error or load, whatever the damage", arguments: ["locon", "lokr_tucker", "loha_tucker", "dora_input", "peft_patterns", "dylora_blocks"])
    func damaged(name: String) throws {
        let model = try TinyModel(), folder = try TemporaryFolder(), path = folder.file("damaged.safetensors")
        let whole = try Data(contentsOf: URL(filePath: TinyModel.path("kinds/\(name).safetensors")))
        let header = 8 + Int(whole.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * $1.offset) })
        var random = TorchGenerator(seed: 50), refused = 0
        for round in 0..<50 {                                              // six files, 300 in all
            var bytes = whole
            switch round % 5 {
            case 0: bytes = bytes.prefix(random.integer(below: bytes.count))
            case 1: for _ in 0..<4 { bytes[random.integer(below: bytes.count)] = UInt8(random.integer(below: 256)) }
            case 2: bytes[8 + random.integer(below: header - 8)] = UInt8(random.integer(below: 256))
            case 3:                                                        // digits of shapes and offsets
                for _ in 0..<3 {
                    let digits = (8..<header).filter { (48...57).contains(bytes[$0]) }
                    bytes[digits[random.integer(below: digits.count)]] = UInt8(48 + random.integer(below: 10))
                }
            default:                                                       // letters of names and types
                for _ in 0..<3 {
                    let letters = (8..<header).filter { (97...122).contains(bytes[$0]) }
                    bytes[letters[random.integer(below: letters.count)]] = UInt8(97 + random.integer(below: 26))
                }
            }
            try bytes.write(to: URL(filePath: path))
            do {
                let network = try AdapterNetwork(AdapterFile(path: path), model: model.adaptable)
                network.attach()
                if round % 10 == 1 { _ = try model.output() }
                network.detach()
            } catch is AdapterError { refused += 1 }
        }
        #expect(refused > 25)
    }
}
