import Checkpoints
import Neural
import TensorCore

/// A LoRA for a whole model: one module for each adapted layer.
///
/// Made unattached; `attach` places the modules in the layers' slots, `detach` takes them out and leaves the base model as it
/// was. Changes happen between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class LoRANetwork: AdapterCollection, @unchecked Sendable {
    public let modules: [any LoRAModule]
    public let placement = Placement()
    public var adapters: [any Adapter] { modules }

    init(modules: [any LoRAModule]) { self.modules = modules }

    /// A fresh adapter: A uniform in ±1/√fan_in, B zero.
    /// - Parameters:
    ///   - unet, textEncoder: the models' registries; nil for a part that is not loaded.
    ///   - generator: draws A, module after module.
    /// - Throws: `AdapterError` for a rank or alpha out of range, or when no layer is named by the targets.
    public convenience init(
        _ specification: LoRASpecification, unet: Registry?, textEncoder: Registry?, generator: inout TorchGenerator
    ) throws(AdapterError) {
        try specification.validate()
        var chosen: [(AdapterPart, any AdaptableLayer, String)] = []
        for (path, layer) in textEncoder?.adaptable ?? [] where specification.textEncoder.includes(path) {
            chosen.append((.textEncoder, layer, path))
        }
        for (path, layer) in unet?.adaptable ?? [] where specification.unet.includes(path, layer.kind) {
            chosen.append((.unet, layer, path))
        }
        guard !chosen.isEmpty else { throw .noTargets }
        let modules = chosen.map { part, layer, path in
            let rank = specification.rank, outputs = layer.kind.outputs
            let factors = LoRAFactors(
                down: Self.freshDown(layer.kind, rank: rank, generator: &generator),
                up: .zeros(layer.kind.isLinear ? [outputs, rank] : [outputs, 1, 1, rank]), alpha: specification.effectiveAlpha)
            return loRAModule(name: part.name(ofLayer: path), layer: layer, factors: factors)
        }
        self.init(modules: modules)
    }

    /// `kaiming_uniform_(a = √5)`: uniform in ±1/√(k·k·in).
    static func freshDown(_ kind: AdaptableKind, rank: Int, generator: inout TorchGenerator) -> Tensor {
        let kernel = kind.kernel, fanIn = kind.inputs * kernel * kernel
        let bound = 1 / Float(fanIn).squareRoot()
        let values = generator.uniform(rank * fanIn).map { $0 * 2 * bound - bound }
        return Tensor(values, shape: kind.isLinear ? [rank, fanIn] : [rank, kernel, kernel, kind.inputs])
    }

    // MARK: Parts and parameters

    public func modules(of part: AdapterPart) -> [any LoRAModule] { modules.filter { $0.part == part } }

    /// The largest rank and its alpha; a network read from a file may mix ranks.
    public var rank: Int { modules.map(\.rank).max() ?? 0 }
    public var alpha: Float { modules.max { $0.rank < $1.rank }?.alpha ?? 0 }
    public var hasMixedRanks: Bool { Set(modules.map(\.rank)).count > 1 }

    // MARK: Snapshots

    /// The adapter as it stands, by module name. Cheap: memory is shared until the next step writes.
    public func snapshot() -> LoRASnapshot {
        LoRASnapshot(factors: Dictionary(uniqueKeysWithValues: modules.map {
            ($0.name, LoRAFactors(down: $0.down.value, up: $0.up.value, alpha: $0.alpha))
        }))
    }

    /// Goes back to a snapshot of this network, its ranks and alphas included. Modules that it did not have then do nothing
    /// afterwards (B is zero).
    public func restore(_ snapshot: LoRASnapshot) {
        for module in modules {
            if let factors = snapshot.factors[module.name] {
                module.set(down: factors.down, up: factors.up, alpha: factors.alpha)
            } else {
                module.set(down: module.down.value, up: .zeros(module.up.value.shape), alpha: module.alpha)
            }
        }
    }

    /// Runs `body` with the adapter as it was, then puts it back as it is.
    public func withSnapshot<R>(_ snapshot: LoRASnapshot, _ body: () throws -> R) rethrows -> R {
        let present = self.snapshot()
        restore(snapshot)
        defer { restore(present) }
        return try body()
    }
}

extension AdaptableKind {
    var isLinear: Bool {
        if case .linear = self { return true }
        return false
    }
}

/// All factors of a network at one moment.
public struct LoRASnapshot: Sendable {
    public let factors: [String: LoRAFactors]

    public init(factors: [String: LoRAFactors]) { self.factors = factors }

    /// Whether every number is finite.
    public var isFinite: Bool {
        factors.values.allSatisfy { f in
            [f.down, f.up].allSatisfy { $0.withUnsafeFloats { $0.allSatisfy(\.isFinite) } }
        }
    }
}

extension LoRANetwork {
    /// This network with fresh modules for layers that a specification names and that it has none for, in the model's order.
    /// The modules it has stay the same objects, whatever the specification says of them.
    /// - Throws: as `init`.
    public func extended(
        _ specification: LoRASpecification, unet: Registry?, textEncoder: Registry?, generator: inout TorchGenerator
    ) throws(AdapterError) -> LoRANetwork {
        let known = Dictionary(uniqueKeysWithValues: modules.map { ($0.name, $0) })
        var trial = generator
        let asked = try LoRANetwork(specification, unet: unet, textEncoder: textEncoder, generator: &trial)
        guard asked.modules.contains(where: { known[$0.name] == nil }) else { return self }
        generator = trial
        let fresh = Dictionary(uniqueKeysWithValues: asked.modules.map { ($0.name, $0) })
        return LoRANetwork(modules: Self.layers(unet: unet, textEncoder: textEncoder).compactMap { known[$0.name] ?? fresh[$0.name] })
    }
}

extension LoRANetwork {
    /// A network with exactly the modules and factors of a snapshot.
    /// - Parameter location: where the snapshot came from, for messages.
    /// - Throws: `AdapterError` when the model has no layer for a module, or one of another size.
    public convenience init(_ snapshot: LoRASnapshot, unet: Registry?, textEncoder: Registry?, location: String) throws(AdapterError) {
        var modules: [any LoRAModule] = []
        for (name, layer) in Self.layers(unet: unet, textEncoder: textEncoder) {
            guard let factors = snapshot.factors[name] else { continue }
            let kind = layer.kind, rank = factors.rank, kernel = kind.kernel
            let downShape = kind.isLinear ? [rank, kind.inputs] : [rank, kernel, kernel, kind.inputs]
            let upShape = kind.isLinear ? [kind.outputs, rank] : [kind.outputs, 1, 1, rank]
            guard rank > 0, factors.down.shape == downShape, factors.up.shape == upShape else {
                throw .malformedModule(key: name, reason: "matrices \(factors.down.shape) and \(factors.up.shape) do not fit this model's layer", file: location)
            }
            modules.append(loRAModule(name: name, layer: layer, factors: factors))
        }
        guard modules.count == snapshot.factors.count else {
            let known = Set(modules.map(\.name)), unknown = snapshot.factors.keys.filter { !known.contains($0) }.sorted()
            throw .unknownModules(Array(unknown.prefix(3)), count: unknown.count, file: location)
        }
        self.init(modules: modules)
    }

    /// All layers that could be adapted by Kohya's name: text encoder first, each part in the model's order.
    static func layers(unet: Registry?, textEncoder: Registry?) -> [(name: String, layer: any AdaptableLayer)] {
        (textEncoder?.adaptable ?? []).map { (AdapterPart.textEncoder.name(ofLayer: $0.path), $0.layer) }
            + (unet?.adaptable ?? []).map { (AdapterPart.unet.name(ofLayer: $0.path), $0.layer) }
    }
}
