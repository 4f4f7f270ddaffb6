import Checkpoints
import Neural
import TensorCore

/// The plain LoRA of an adapter file: factors by Kohya's module names, and the metadata.
public struct LoRAFile: Sendable {
    /// As the file stores them: linear A `[r, in]`, convolution A `[r, in, k, k]`; B `[out, r]` or `[out, r, 1, 1]`.
    public let stored: [String: LoRAFactors]
    public let metadata: [String: String]
    public let location: String

    /// - Throws: `AdapterError` for a file that cannot be read, holds no LoRA, halves of one, or another type of adapter.
    public init(path: String) throws(AdapterError) {
        let file = try AdapterFile(path: path)
        var stored: [String: LoRAFactors] = [:]
        for (name, module) in file.modules {
            guard case .lora(let factors) = module else { throw .unsupportedType(module.kind.rawValue, file: path) }
            stored[name] = factors
        }
        self.stored = stored
        metadata = file.metadata
        location = path
    }
}

extension LoRANetwork {
    /// The network of a file, each module with its own rank and alpha.
    /// - Throws: `AdapterError` when the model has no layer for a module, or one of another size.
    public convenience init(_ file: LoRAFile, unet: Registry?, textEncoder: Registry?) throws(AdapterError) {
        let layers = Self.layers(unet: unet, textEncoder: textEncoder)
        let known = Set(layers.map(\.name))
        let unknown = file.stored.keys.filter { !known.contains($0) }.sorted()
        guard unknown.isEmpty else { throw .unknownModules(Array(unknown.prefix(3)), count: unknown.count, file: file.location) }
        var modules: [any LoRAModule] = []
        for (name, layer) in layers {
            guard let stored = file.stored[name] else { continue }
            modules.append(loRAModule(name: name, layer: layer, factors: try stored.inMemory(for: layer.kind, key: name, file: file.location)))
        }
        self.init(modules: modules)
    }

    /// The factors as a Kohya file holds them, with `.alpha` as a number without dimensions.
    public func tensors() -> [(name: String, tensor: Tensor)] { Self.tensors(of: snapshot(), modules: modules) }

    private static func tensors(of snapshot: LoRASnapshot, modules: [any LoRAModule]) -> [(name: String, tensor: Tensor)] {
        modules.flatMap { module -> [(name: String, tensor: Tensor)] in
            guard let factors = snapshot.factors[module.name] else { return [] }
            return factors.tensors(for: module.layer.kind).map { ("\(module.name).\($0.ending)", $0.tensor) }
        }
    }

    /// Writes the adapter as Kohya's scripts do: whole or not at all.
    /// - Parameters:
    ///   - snapshot: an earlier state; nil is the present one.
    ///   - precision: of all tensors, alpha included.
    ///   - metadata: `ss_*` and `modelspec.*` entries; both hashes are added.
    /// - Throws: `AdapterError.checkpoint` when the file cannot be written; a file of that name is then as it was.
    public func write(
        to path: String, snapshot: LoRASnapshot? = nil, precision: DType = .float32, metadata: [String: String] = [:]
    ) throws(AdapterError) {
        try AdapterFile.write(Self.tensors(of: snapshot ?? self.snapshot(), modules: modules), to: path, precision: precision, metadata: metadata)
    }
}

extension LoRAFactors {
    /// File layout to the layer's: matrices gain or lose trailing 1×1, kernels go channels-last.
    func inMemory(for kind: AdaptableKind, key: String, file: String) throws(AdapterError) -> LoRAFactors {
        let kernel = kind.kernel, isFlat = down.rank == 2 && down.shape[1] == kind.inputs * kernel * kernel      // [r, in · k · k]
        let found = [isFlat ? kind.inputs : down.shape[1], up.shape[0]], expected = [kind.inputs, kind.outputs]
        guard found == expected else { throw .sizeMismatch(key: key, expected: expected, found: found, file: file) }
        guard isFlat || down.rank == 4 && down.shape[2] == kernel && down.shape[3] == kernel else {
            throw .malformedModule(key: key, reason: "has a kernel \(down.shape.dropFirst(2)) for a layer of \(kernel)×\(kernel)", file: file)
        }
        return withoutGradients {
            if kind.isLinear { return LoRAFactors(down: down.reshaped([rank, kind.inputs]), up: up.reshaped([kind.outputs, rank]), alpha: alpha) }
            return LoRAFactors(down: down.reshaped([rank, kind.inputs, kernel, kernel]).transposed([0, 2, 3, 1]), up: up.reshaped([kind.outputs, 1, 1, rank]), alpha: alpha)
        }
    }

    /// The reverse, with `.alpha` as a number without dimensions.
    func tensors(for kind: AdaptableKind) -> [(ending: String, tensor: Tensor)] {
        withoutGradients {
            let inFile = kind.isLinear ? (down, up) : (down.transposed([0, 3, 1, 2]), up.reshaped([kind.outputs, rank, 1, 1]))
            return [("lora_down.weight", inFile.0), ("lora_up.weight", inFile.1), ("alpha", .scalar(alpha))]
        }
    }
}
