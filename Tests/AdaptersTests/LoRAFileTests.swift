import Adapters
import Checkpoints
import Foundation
import TensorCore
import TestSupport
import Testing

@Suite("LoRAFile") struct LoRAFileTests {
    @Test("Kohya's file read and written again has the same tensors and hashes") func roundTrip() throws {
        let model = try TinyModel(), folder = try TemporaryFolder()
        let source = try SafetensorsFile(path: TinyModel.path("kohya.safetensors"))
        let settings = source.metadata.filter { $0.key.hasPrefix("ss_") }
        try model.network("kohya.safetensors").write(to: folder.file("again.safetensors"), metadata: settings)
        let written = try SafetensorsFile(path: folder.file("again.safetensors"))
        #expect(written.entries == source.entries)
        for key in source.keys { #expect(try written.tensor(key).array == source.tensor(key).array, "\(key)") }
        #expect(written.metadata["sshs_model_hash"] == source.metadata["sshs_model_hash"])
        #expect(written.metadata == source.metadata)
    }

    @Test("precisions are the file's, alpha included", arguments: [(DType.float16, 1e-3), (.bfloat16, 8e-3)])
    func precision(dtype: DType, tolerance: Double) throws {
        let model = try TinyModel(), folder = try TemporaryFolder()
        let network = try model.network("kohya.safetensors")
        try network.write(to: folder.file("half.safetensors"), precision: dtype)
        let file = try SafetensorsFile(path: folder.file("half.safetensors"))
        #expect(file.entries.values.allSatisfy { $0.dtype == StoredType(dtype) })
        let again = try AdapterNetwork(AdapterFile(path: folder.file("half.safetensors")), model: model.adaptable)
        for (a, b) in zip(network.modules, again.modules) {
            expectClose(b.weightDelta(), a.weightDelta(), relative: 3 * tolerance)
            #expect(b.alpha == 2 && b.name == a.name)
        }
    }

    /// Writes tensors and reads them as an adapter.
    private func read(_ tensors: [(name: String, tensor: Tensor)], stored: [StoredTensor] = []) throws -> AdapterFile {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write(tensors, stored: stored, to: folder.file("x.safetensors"))
        return try AdapterFile(path: folder.file("x.safetensors"))
    }

    private let name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    private var pair: [(name: String, tensor: Tensor)] {
        [("\(name).lora_down.weight", .ones([2, 16])), ("\(name).lora_up.weight", .ones([16, 2]))]
    }

    @Test("alpha may be missing (then it is the rank) or an integer") func alphas() throws {
        let unet = AdaptableModel(unet: try TinyModel().unet.registry)
        #expect(try AdapterNetwork(read(pair), model: unet).size?.alpha == 2)
        let integer = StoredTensor(name: "\(name).alpha", dtype: .i64, shape: [], bytes: [7, 0, 0, 0, 0, 0, 0, 0])
        #expect(try AdapterNetwork(read(pair, stored: [integer]), model: unet).size?.alpha == 7)
    }

    @Test("matrices gain or lose trailing ones to fit the layer") func squeezing() throws {
        let model = try TinyModel()
        let asKernel: [(name: String, tensor: Tensor)] = [
            ("\(name).lora_down.weight", .ones([2, 16, 1, 1])), ("\(name).lora_up.weight", .ones([16, 2, 1, 1])),
            ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", .ones([2, 16])), ("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", .ones([16, 2])),
        ]
        let network = try AdapterNetwork(read(asKernel), model: AdaptableModel(unet: model.unet.registry))
        network.attach()
        #expect(network.modules.count == 2)
        #expect(try model.output().array != TinyModel.expected("base").array)
    }

    @Test("files that hold no adapter or halves of one are refused") func malformed() throws {
        #expect(throws: AdapterError.self) { try read([("weight", .ones([2, 2]))]) }
        #expect(throws: AdapterError.self) { try read([pair[0]]) }
        #expect(throws: AdapterError.self) { try read([pair[1]]) }
        #expect(throws: AdapterError.self) { try read([pair[0], ("\(name).lora_up.weight", .ones([16, 3]))]) }
        #expect(throws: AdapterError.self) { try read([pair[0], ("\(name).lora_up.weight", Tensor([Float](repeating: .nan, count: 32), shape: [16, 2]))]) }
        #expect(throws: AdapterError.self) { try read(["hada_w1_a", "hada_w1_b", "hada_w2_a"].map { ("\(name).\($0)", .ones([2, 2])) }) }
    }

    @Test("modules and sizes of another base model are named") func otherModel() throws {
        let model = try TinyModel()
        do {
            _ = try AdapterNetwork(
                read([("lora_unet_nowhere.lora_down.weight", .ones([2, 16])), ("lora_unet_nowhere.lora_up.weight", .ones([16, 2]))]), model: model.adaptable)
            Issue.record("an unknown module was accepted")
        } catch AdapterError.unknownModules(let names, let count, _) { #expect(names == ["lora_unet_nowhere"] && count == 1) }
        do {
            _ = try AdapterNetwork(read([("\(name).lora_down.weight", .ones([2, 320])), ("\(name).lora_up.weight", .ones([320, 2]))]), model: model.adaptable)
            Issue.record("another size was accepted")
        } catch AdapterError.sizeMismatch(let key, let expected, let found, _) { #expect(key == name && expected == [16, 16] && found == [320, 320]) }
    }

    @Test("a missing or damaged file is a checkpoint's error") func unreadable() throws {
        let folder = try TemporaryFolder()
        #expect(throws: AdapterError.self) { try AdapterFile(path: folder.file("none.safetensors")) }
        try Data("not a safetensors file".utf8).write(to: URL(filePath: folder.file("text.safetensors")))
        #expect(throws: AdapterError.self) { try AdapterFile(path: folder.file("text.safetensors")) }
    }

    @Test("saving into a folder that does not exist leaves nothing behind") func unwritable() throws {
        let model = try TinyModel(), folder = try TemporaryFolder()
        let network = try model.network("kohya.safetensors")
        #expect(throws: AdapterError.self) { try network.write(to: folder.file("no/such/folder/x.safetensors")) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }
}

@Suite("Singular value decomposition") struct SVDTests {
    @Test("U·S·Vᵀ is the matrix, with orthonormal factors and descending values", arguments: [[5, 3], [3, 5], [4, 4], [1, 6], [6, 1]])
    func reconstructs(shape: [Int]) {
        var generator = TorchGenerator(seed: 2)
        let matrix = Tensor(generator.normal(shape[0] * shape[1]), shape: shape)
        let (u, values, vt) = matrix.svd()
        let k = min(shape[0], shape[1])
        #expect(u.shape == [shape[0], k] && vt.shape == [k, shape[1]] && values == values.sorted(by: >))
        expectClose((u * Tensor(values, shape: [1, k])).matmul(vt), matrix, relative: 1e-6)
        let identity = Tensor((0..<k * k).map { $0 / k == $0 % k ? 1 : 0 }, shape: [k, k])
        expectClose(u.transposed([1, 0]).matmul(u), identity, relative: 1e-6)
        expectClose(vt.matmul(vt.transposed([1, 0])), identity, relative: 1e-6)
    }

    @Test("an empty matrix has no values") func empty() {
        #expect(Tensor.zeros([0, 3]).svd().values.isEmpty)
    }
}
