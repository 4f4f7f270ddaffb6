import Checkpoints
import Neural
import TensorCore

/// An adapter file's content: factors by Kohya's module names, and the metadata.
///
/// Kohya's keys (`lora_unet_….lora_down.weight`, `….lora_up.weight`, `….alpha`) and PEFT's
/// (`unet.….lora_A.weight`, `….lora_B.weight`) are read; Kohya's are written.
public struct LoRAFile: Sendable {
    /// As the file stores them: linear A `[r, in]`, convolution A `[r, in, k, k]`; B `[out, r]` or `[out, r, 1, 1]`.
    public let stored: [String: LoRAFactors]
    public let metadata: [String: String]
    public let location: String

    /// Tensor endings of other adapter types, with the names of these types.
    private static let foreign = [
        ("hada_w1_a", "LoHa"), ("lokr_w1", "LoKr"), ("lokr_w2", "LoKr"), ("oft_blocks", "OFT"), ("dora_scale", "DoRA"), ("lora_mid.weight", "LoCon (Tucker)"),
        ("diff", "full-difference"), ("w_norm", "normalisation"), ("on_input", "IA3"),
    ]

    /// - Throws: `AdapterError` for a file that cannot be read, holds no LoRA, or holds halves of one.
    public init(path: String) throws(AdapterError) {
        do {
            let file = try SafetensorsFile(path: path)
            location = path
            metadata = file.metadata
            stored = try Self.read(file)
        } catch let error as AdapterError {
            throw error
        } catch let error as CheckpointError {
            throw .checkpoint(error)
        } catch {
            preconditionFailure("unexpected \(error)")
        }
    }

    private static func read(_ file: SafetensorsFile) throws -> [String: LoRAFactors] {
        var downs: [String: Tensor] = [:], ups: [String: Tensor] = [:], alphas: [String: Float] = [:]
        for key in file.keys {
            if let (_, type) = foreign.first(where: { key.hasSuffix("." + $0.0) || key.contains(".\($0.0).") }) {
                throw AdapterError.unsupportedType(type, file: file.location)
            }
            guard let (module, role) = parse(key) else { continue }
            switch role {
            case .down: downs[module] = try file.tensor(key).converted(to: .float32)
            case .up: ups[module] = try file.tensor(key).converted(to: .float32)
            case .alpha: alphas[module] = try alpha(key, file)
            }
        }
        guard !downs.isEmpty || !ups.isEmpty else {
            throw AdapterError.notAnAdapter(file: file.location, found: file.keys.isEmpty ? "it is empty" : "its first key is \(file.keys[0])")
        }
        for module in ups.keys where downs[module] == nil {
            throw AdapterError.malformedModule(key: module, reason: "has an up matrix without a down matrix", file: file.location)
        }
        var factors: [String: LoRAFactors] = [:]
        for (module, down) in downs {
            guard let up = ups[module] else {
                throw AdapterError.malformedModule(key: module, reason: "has a down matrix without an up matrix", file: file.location)
            }
            guard [2, 4].contains(down.rank), [2, 4].contains(up.rank), down.shape[0] > 0, up.shape[1] == down.shape[0],
                up.rank == 2 || (up.shape[2] == 1 && up.shape[3] == 1)
            else {
                throw AdapterError.malformedModule(key: module, reason: "matrices \(down.shape) and \(up.shape) do not multiply", file: file.location)
            }
            guard (down.array + up.array).allSatisfy(\.isFinite) else {
                throw AdapterError.malformedModule(key: module, reason: "holds values that are not finite", file: file.location)
            }
            factors[module] = LoRAFactors(down: down, up: up, alpha: alphas[module] ?? Float(down.shape[0]))
        }
        return factors
    }

    /// A 0-dim number of any type: older writers stored integers and halves.
    private static func alpha(_ key: String, _ file: SafetensorsFile) throws -> Float {
        let isFloat = try file.entry(key).dtype.tensorType != nil
        let value = isFloat ? try file.tensor(key).array.first : try file.integers(key).first.map { Float($0) }
        guard let value, value.isFinite else {
            throw AdapterError.malformedModule(key: key, reason: "alpha is not a number", file: file.location)
        }
        return value
    }

    private enum Role { case down, up, alpha }

    /// Kohya's module name and what the tensor is to it; nil for keys that are no part of a LoRA.
    private static func parse(_ key: String) -> (module: String, role: Role)? {
        let endings: [(String, Role)] = [
            (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_A.weight", .down), (".lora_B.weight", .up),
            (".lora_A.default.weight", .down), (".lora_B.default.weight", .up), (".lora.down.weight", .down), (".lora.up.weight", .up), (".alpha", .alpha),
        ]
        for (ending, role) in endings where key.hasSuffix(ending) {
            let path = String(key.dropLast(ending.count))
            return (kohyaName(path), role)
        }
        return nil
    }

    /// PEFT's dotted paths to Kohya's names; Kohya's own pass unchanged (SDXL's `lora_te1_` prefix aside).
    private static func kohyaName(_ path: String) -> String {
        var path = path[...]
        if path.hasPrefix("base_model.model.") { path = path.dropFirst("base_model.model.".count) }
        if path.hasPrefix("unet.") { return AdapterPart.unet.name(ofLayer: String(path.dropFirst("unet.".count))) }
        if path.hasPrefix("text_encoder.") { return AdapterPart.textEncoder.name(ofLayer: String(path.dropFirst("text_encoder.".count))) }
        return String(path)
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
            let file = withoutGradients { factors.inFile(for: module.layer.kind) }
            return [
                ("\(module.name).lora_down.weight", file.down), ("\(module.name).lora_up.weight", file.up),
                ("\(module.name).alpha", .scalar(factors.alpha)),
            ]
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
        let tensors = Self.tensors(of: snapshot ?? self.snapshot(), modules: modules)
        do throws(CheckpointError) {
            let hashes = try SafetensorsWriter.hashes(tensors, metadata: metadata, dtype: precision)
            let complete = metadata.merging(["sshs_model_hash": hashes.model, "sshs_legacy_hash": hashes.legacy]) { $1 }
            try SafetensorsWriter.write(tensors, metadata: complete, to: path, dtype: precision)
        } catch {
            throw .checkpoint(error)
        }
    }
}

extension LoRAFactors {
    /// File layout to the layer's: matrices gain or lose trailing 1×1, kernels go channels-last.
    func inMemory(for kind: AdaptableKind, key: String, file: String) throws(AdapterError) -> LoRAFactors {
        let found = [down.shape[1], up.shape[0]], expected = [kind.inputs, kind.outputs], kernel = kind.kernel
        guard found == expected else { throw .sizeMismatch(key: key, expected: expected, found: found, file: file) }
        guard down.rank == 2 ? kernel == 1 : down.shape[2] == kernel && down.shape[3] == kernel else {
            throw .malformedModule(key: key, reason: "has a kernel \(down.shape.dropFirst(2)) for a layer of \(kernel)×\(kernel)", file: file)
        }
        return withoutGradients {
            if kind.isLinear { return LoRAFactors(down: down.reshaped([rank, kind.inputs]), up: up.reshaped([kind.outputs, rank]), alpha: alpha) }
            let kernelLast = down.rank == 4 ? down : down.reshaped([rank, kind.inputs, 1, 1])
            return LoRAFactors(down: kernelLast.transposed([0, 2, 3, 1]), up: up.reshaped([kind.outputs, 1, 1, rank]), alpha: alpha)
        }
    }

    /// The reverse.
    func inFile(for kind: AdaptableKind) -> LoRAFactors {
        if kind.isLinear { return self }
        return LoRAFactors(down: down.transposed([0, 3, 1, 2]), up: up.reshaped([kind.outputs, rank, 1, 1]), alpha: alpha)
    }
}
