import Checkpoints
import Foundation
import Neural
import TensorCore
import Testing

@Suite struct WeightsTests {
    /// Tensors in memory as a source.
    final class Stored: WeightSource {
        let location = "stored", files: [MappedFile] = []
        let tensors: [String: Tensor]
        init(_ tensors: [String: Tensor]) { self.tensors = tensors }
        var keys: [String] { tensors.keys.sorted() }
        func contains(_ key: String) -> Bool { tensors[key] != nil }
        func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
            guard let tensor = tensors[key] else { throw .missingKey(key, file: location) }
            guard tensor.shape == shape else { throw .shapeMismatch(key: key, expected: shape, found: tensor.shape, file: location) }
            return tensor
        }
    }

    @Test("a kernel is held and goes out as it came, in every precision", arguments: [DType.float32, .float16, .bfloat16])
    func convolutionLayout(_ dtype: DType) throws {
        let file = Tensor((0..<48).map(Float.init), shape: [2, 3, 4, 2]).converted(to: dtype)
        let weights = Weights(Stored(["a.weight": file]))
        let parameter = try weights["a"].parameter("weight", shape: [2, 3, 4, 2])
        #expect(parameter.value.dtype == dtype)
        #expect(parameter.value.shape == [2, 3, 4, 2] && parameter.value.array == file.array)
        let out = weights.registry.tensors()[0]
        #expect(out.name == "a.weight" && out.tensor.shape == [2, 3, 4, 2] && out.tensor.array == file.array)
    }

    @Test("matrices keep their precision or get the one asked for; vectors are float32")
    func precision() throws {
        let source = Stored(["l.weight": Tensor.ones([2, 3]).converted(to: .float16), "l.bias": Tensor.ones([2]).converted(to: .float16)])
        let kept = try Linear(Weights(source)["l"], 3, 2)
        #expect(kept.weight.value.dtype == .float16 && kept.bias?.value.dtype == .float32)
        let widened = try Linear(Weights(source, precision: .float32)["l"], 3, 2)
        #expect(widened.weight.value.dtype == .float32)
        kept.weight.isTrainable = false
        let registry = Registry()
        let trained = try Linear(Weights(source, registry: registry)["l"], 3, 2)
        registry.setTrainable(true)
        #expect(trained.weight.value.dtype == .float32 && trained.weight.tensor.requiresGradient)
        #expect(registry.parameterCount == 8 && registry.byteCount == 32)
    }

    @Test("missing keys, other shapes and unused keys are named")
    func accounts() throws {
        let source = Stored(["l.weight": .ones([2, 3]), "extra": .ones([1]), "position_ids": .ones([4])])
        #expect(throws: CheckpointError.missingKey("l.bias", file: "stored")) { try Linear(Weights(source)["l"], 3, 2) }
        #expect(throws: CheckpointError.shapeMismatch(key: "l.weight", expected: [3, 2], found: [2, 3], file: "stored")) {
            try Linear(Weights(source)["l"], 2, 3)
        }
        let weights = Weights(source)
        _ = try Linear(weights["l"], 3, 2, bias: false)
        #expect(throws: CheckpointError.unusedKeys(["extra"], file: "stored")) {
            try weights.requireEveryKeyUsed { $0.hasSuffix("position_ids") }
        }
    }

    @Test("older spellings are read and registered under today's")
    func formerSpelling() throws {
        let weights = Weights(Stored(["query.weight": .ones([2, 2])]))
        let layer = try Linear(weights["to_q", formerly: "query"], 2, 2, bias: false)
        #expect(layer.path == "to_q" && weights.registry.parameters.map(\.key) == ["to_q.weight"])
        try weights.requireEveryKeyUsed()
    }
}

@Suite struct FreshWeightsTests {
    @Test("initial values are PyTorch's distributions, the same for a seed in any order")
    func distributions() throws {
        let weights = Weights(FreshWeights(seed: 7))
        let layer = try Linear(weights["a"], 400, 300), conv = try Conv2d(weights["b"], 16, 32, kernel: 3)
        let embedding = try Embedding(weights["c"], count: 200, width: 100), norm = try LayerNorm(weights["d"], width: 8)
        // U(±1/√fan-in) has standard deviation 1/√(3 fan-in).
        #expect(abs(deviation(layer.weight.value) - 1 / Float(1200).squareRoot()) < 5e-4)
        #expect(layer.weight.value.array.allSatisfy { abs($0) <= 0.05 })
        #expect(abs(deviation(conv.weight.value) - 1 / Float(3 * 144).squareRoot()) < 2e-3)
        #expect(abs(deviation(embedding.weight.value) - 1) < 0.02)
        #expect(norm.scale.value.array == Array(repeating: 1, count: 8) && norm.shift.value.array == Array(repeating: 0, count: 8))
        #expect(layer.bias.map { deviation($0.value) > 0.02 } == true)

        let again = Weights(FreshWeights(seed: 7)), other = Weights(FreshWeights(seed: 8))
        _ = try Conv2d(again["b"], 16, 32, kernel: 3)
        #expect(try Linear(again["a"], 400, 300).weight.value.array == layer.weight.value.array)
        #expect(try Linear(other["a"], 400, 300).weight.value.array != layer.weight.value.array)
    }

    private func deviation(_ tensor: Tensor) -> Float {
        let values = tensor.array, mean = values.reduce(0, +) / Float(values.count)
        return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(values.count)).squareRoot()
    }
}
