import Checkpoints
import Neural
import TensorCore

/// Adapters of any kind for a whole model: one for each adapted layer.
///
/// Made unattached; `attach` places the adapters in the layers' slots, `detach` takes them out and leaves the base model as it
/// was. Several networks may be attached at once; their changes add up. Changes happen between steps, by the one session that
/// owns the model; hence `@unchecked Sendable`.
public final class AdapterNetwork: AdapterCollection, @unchecked Sendable {
    public let adapters: [any Adapter]
    public let placement = Placement()
    /// What a fresh network was made from; nil for one from a file.
    public let specification: NetworkSpecification?
    /// Modules of a file for parts that are not loaded, by name.
    public let skipped: [String]

    init(adapters: [any Adapter], specification: NetworkSpecification?, skipped: [String] = []) {
        self.adapters = adapters
        self.specification = specification
        self.skipped = skipped
    }

    // MARK: Fresh

    /// A fresh network that changes nothing before the first step.
    /// - Parameter generator: draws the initial values, layer after layer.
    /// - Throws: `AdapterError` for sizes out of range, or when the model has no layer that the targets name.
    public convenience init(_ specification: NetworkSpecification, model: AdaptableModel, generator: inout TorchGenerator) throws(AdapterError) {
        try specification.validate()
        var adapters: [any Adapter] = []
        for target in model.targets() {
            guard case .layer(let layer) = target.place else { continue }
            let isChosen = target.part == .unet ? nil : specification.base.textEncoder.includes(target.path)
            let size = isChosen.map { $0 ? (rank: specification.base.rank, alpha: specification.base.effectiveAlpha) : nil }
                ?? specification.size(ofUNet: target.path, layer.kind)
            guard let size else { continue }
            adapters.append(Self.fresh(specification, target.name, layer, rank: size.rank, alpha: size.alpha, generator: &generator))
        }
        guard !adapters.isEmpty else { throw .noTargets }
        self.init(adapters: adapters, specification: specification)
    }

    /// This network with fresh adapters for layers that a specification names and that it has none for, in the model's order.
    /// The adapters it has stay the same objects, whatever the specification says of them.
    /// - Throws: as `init`.
    public func extended(_ specification: NetworkSpecification, model: AdaptableModel, generator: inout TorchGenerator) throws(AdapterError) -> AdapterNetwork {
        let known = Dictionary(uniqueKeysWithValues: adapters.map { ($0.name, $0) })
        var trial = generator
        let asked = try AdapterNetwork(specification, model: model, generator: &trial)
        guard asked.adapters.contains(where: { known[$0.name] == nil }) else { return self }
        generator = trial
        let fresh = Dictionary(uniqueKeysWithValues: asked.adapters.map { ($0.name, $0) })
        return AdapterNetwork(adapters: model.targets().compactMap { known[$0.name] ?? fresh[$0.name] }, specification: self.specification)
    }

    private static func fresh(
        _ specification: NetworkSpecification, _ name: String, _ layer: any AdaptableLayer, rank: Int, alpha: Float, generator: inout TorchGenerator
    ) -> any Adapter {
        let kind = layer.kind
        func factors() -> LoRAFactors { .fresh(kind, rank: rank, alpha: alpha, generator: &generator) }
        switch specification.kind {
        case .standard, .locon, .dylora: return loRAModule(specification.kind, name: name, layer: layer, factors: factors())
        case .loha:
            let difference = LoHa.fresh(name, kind, rank: rank, alpha: alpha, hasCores: specification.usesCores, generator: &generator)
            return DenseAdapter(name: name, layer: layer, difference: difference)
        case .lokr(let factor, let decomposesBoth):
            let difference = LoKr.fresh(
                name, kind, rank: rank, alpha: alpha, factor: factor, decomposesBoth: decomposesBoth, hasCores: specification.usesCores, generator: &generator)
            return DenseAdapter(name: name, layer: layer, difference: difference)
        }
    }

    // MARK: From a file

    /// The network of a file, each module with its own formula, rank and alpha.
    ///
    /// Modules for a part that is not loaded are left out and listed in `skipped`, so that a file with a text encoder's part can
    /// be tried on a UNet alone. Any other module without a layer is an error, as in diffusers: Kohya's scripts only print such
    /// names, and a file of another base model then does a part of its work unnoticed.
    /// - Parameters:
    ///   - trainable: whether it is to be trained further; a frozen one keeps each layer's difference once computed.
    ///   - kind: how it is to be trained: a DyLoRA's file does not tell it from a LoRA's.
    /// - Throws: `AdapterError` when a loaded part has no layer for a module, or one of another size.
    public convenience init(_ file: AdapterFile, model: AdaptableModel, trainable: Bool = false, as kind: NetworkKind = .standard) throws(AdapterError) {
        var open = file.modules, adapters: [any Adapter] = []
        for target in model.targets() {
            for name in model.naming.spellings(of: target.part, path: target.path) {
                guard let module = open.removeValue(forKey: name) else { continue }
                guard !adapters.contains(where: { $0.name == target.name }) else {
                    throw .malformedModule(key: name, reason: "stands for the same layer as another name of this file", file: file.location)
                }
                adapters.append(try module.fitted(to: target, key: name, file: file.location, trainable: trainable, kind))
            }
        }
        let skipped = open.keys.filter { !model.has(AdapterPart(name: $0)) && !$0.hasPrefix("lycoris_") }.sorted()
        let unknown = open.keys.filter { !skipped.contains($0) }.sorted()
        guard unknown.isEmpty else { throw .unknownModules(Array(unknown.prefix(3)), count: unknown.count, file: file.location) }
        guard !adapters.isEmpty else { throw .noTargets }
        self.init(adapters: adapters, specification: nil, skipped: skipped)
    }

    /// Trains or freezes all adapters.
    public func setTrainable(_ trainable: Bool) {
        for parameter in parameters where parameter.isTrainable != trainable { parameter.isTrainable = trainable }
        if isAttached { attach() }
    }

    /// Draws the block of ranks that each DyLoRA trains in the next step; other kinds draw nothing.
    public func drawBlocks(_ generator: inout TorchGenerator) {
        for case let module as DyLoRA in adapters { module.trainedBlock = generator.integer(below: module.rank / module.unit) }
    }

    /// Back to all ranks, for sampling.
    public func applyAllBlocks() {
        for case let module as DyLoRA in adapters { module.trainedBlock = nil }
    }

    // MARK: Size

    /// The plain LoRAs among the adapters (LoCon and DyLoRA, too).
    public var modules: [any LoRAModule] { adapters.compactMap { $0 as? any LoRAModule } }

    /// The largest rank and its alpha of linear layers and 1×1 convolutions; a network read from a file may mix ranks. nil for formulas
    /// without a rank.
    public var size: AdapterSize? { Self.largest(sizes(kernels: false)) ?? Self.largest(sizes(kernels: true)) }
    /// The same of layers with larger kernels; nil when there are none.
    public var kernelSize: AdapterSize? { Self.largest(sizes(kernels: true)) }
    public var hasMixedRanks: Bool { Set(sizes(kernels: false).map(\.rank)).count > 1 }

    private func sizes(kernels: Bool) -> [AdapterSize] {
        adapters.filter { ((($0 as? any LayerChange)?.layer.kind.kernel ?? 1) > 1) == kernels }.compactMap(\.size)
    }

    private static func largest(_ sizes: [AdapterSize]) -> AdapterSize? { sizes.max { $0.rank < $1.rank } }

    /// What the adapters are, the most frequent first.
    public var kinds: [AdapterKind] {
        let counts = adapters.reduce(into: [AdapterKind: Int]()) { $0[$1.kind, default: 0] += 1 }
        return AdapterKind.allCases.filter { counts[$0] != nil }.sorted { counts[$0, default: 0] > counts[$1, default: 0] }
    }

    /// The formula that most of the adapters follow, as fresh ones of the same kind would be asked for.
    public var networkKind: NetworkKind {
        if let specification { return specification.kind }
        return switch kinds.first {
        case .loha: .loha
        case .lokr: .lokr()
        case .lora: modules.contains { $0.layer.kind.kernel > 1 } ? .locon : .standard
        default: .standard
        }
    }

    // MARK: Snapshots

    /// The adapters as they stand, by name. Cheap: memory is shared until the next step writes.
    public func snapshot() -> AdapterSnapshot {
        AdapterSnapshot(states: Dictionary(uniqueKeysWithValues: adapters.map { adapter in
            (adapter.name, AdapterSnapshot.State(values: adapter.parameters.map(\.value), alpha: adapter.size?.alpha))
        }))
    }

    /// Goes back to a snapshot of this network, its ranks and alphas included. Adapters that it did not have then do nothing
    /// afterwards: all their factors are zero.
    public func restore(_ snapshot: AdapterSnapshot) {
        for adapter in adapters {
            if let state = snapshot.states[adapter.name] {
                adapter.set(state.values, alpha: state.alpha)
            } else {
                adapter.set(adapter.parameters.map { .zeros($0.value.shape) }, alpha: nil)
            }
        }
    }

    /// Runs `body` with the adapters as they were, then puts them back as they are.
    public func withSnapshot<R>(_ snapshot: AdapterSnapshot, _ body: () throws -> R) rethrows -> R {
        let present = self.snapshot()
        restore(snapshot)
        defer { restore(present) }
        return try body()
    }

    // MARK: Out

    /// What a file holds, in file layout.
    public func tensors() -> [(name: String, tensor: Tensor)] {
        adapters.flatMap { adapter in adapter.tensors().map { ("\(adapter.name).\($0.ending)", $0.tensor) } }
    }

    /// Writes the network in Kohya's and LyCORIS' names: whole or not at all.
    /// - Parameters:
    ///   - precision: of all tensors, alpha included.
    ///   - metadata: `ss_*` and `modelspec.*` entries; both hashes are added.
    /// - Throws: `AdapterError.checkpoint` when the file cannot be written; a file of that name is then as it was.
    public func write(to path: String, precision: DType = .float32, metadata: [String: String] = [:]) throws(AdapterError) {
        try AdapterFile.write(tensors(), to: path, precision: precision, metadata: metadata)
    }
}

extension StoredModule {
    /// The adapter for a place in the model.
    /// - Throws: `AdapterError` when it is of another kind or size.
    fileprivate func fitted(to target: AdaptableModel.Target, key: String, file: String, trainable: Bool, _ network: NetworkKind) throws(AdapterError) -> any Adapter {
        switch (self, target.place) {
        case (.lora(let factors), .layer(let layer)):
            let module = loRAModule(network, name: target.name, layer: layer, factors: try factors.inMemory(for: layer.kind, key: key, file: file))
            for parameter in module.parameters { parameter.isTrainable = trainable }
            return module
        case (.dense(let difference, let magnitude), .layer(let layer)):
            let kind = layer.kind, area = kind.kernel * kind.kernel
            guard difference.rows == kind.outputs, difference.columns == kind.inputs * area else {
                throw .sizeMismatch(key: key, expected: [kind.inputs, kind.outputs], found: [difference.columns / area, difference.rows], file: file)
            }
            if let bias = difference.bias, bias.count != kind.outputs {
                throw .malformedModule(key: key, reason: "bias difference \(bias.shape) for \(kind.outputs) outputs", file: file)
            }
            for factor in difference.factors { factor.parameter.isTrainable = trainable }
            return DenseAdapter(
                name: target.name, layer: layer, difference: difference,
                magnitude: try magnitude.map { value throws(AdapterError) in try fitted(value, kind, target.name, key: key, file: file, trainable: trainable) })
        case (.norm(let scale, let shift), .norm(let slot)):
            guard scale.shape == slot.scale.value.shape else {
                throw .malformedModule(key: key, reason: "difference \(scale.shape) for a normalisation of \(slot.scale.value.shape)", file: file)
            }
            return NormDifference(name: target.name, slot: slot, scale: scale, shift: shift, trainable: trainable)
        case (_, .norm): throw .malformedModule(key: key, reason: "is a \(kind.rawValue) of a normalisation layer", file: file)
        case (.norm, .layer): throw .malformedModule(key: key, reason: "is a normalisation's difference for another layer", file: file)
        }
    }

    /// DoRA's numbers: `[out, 1, …]`, PEFT's `[out]` and `[1, out, 1, 1]`, or the older `[1, in, …]`.
    private func fitted(
        _ magnitude: Tensor, _ kind: AdaptableKind, _ name: String, key: String, file: String, trainable: Bool
    ) throws(AdapterError) -> DenseAdapter.Magnitude {
        let isPerInput = magnitude.rank > 1 && magnitude.shape[0] == 1 && magnitude.shape[1] == kind.inputs
        guard magnitude.count == (isPerInput ? kind.inputs : kind.outputs) else {
            throw .malformedModule(key: key, reason: "dora_scale \(magnitude.shape) for \(kind.inputs) inputs and \(kind.outputs) outputs", file: file)
        }
        let values = Parameter("\(name).dora_scale", magnitude.reshaped([-1]), trainable: trainable)
        return DenseAdapter.Magnitude(values: values, isPerOutput: !isPerInput, shape: magnitude.shape)
    }
}

/// All factors of a network at one moment.
public struct AdapterSnapshot: Sendable, Equatable {
    struct State: Sendable, Equatable {
        let values: [Tensor]
        let alpha: Float?

        static func == (a: State, b: State) -> Bool {
            a.alpha == b.alpha && a.values.map(\.shape) == b.values.map(\.shape) && zip(a.values, b.values).allSatisfy { $0.array == $1.array }
        }
    }
    let states: [String: State]

    /// Whether every number is finite.
    public var isFinite: Bool {
        Tensor.areFinite(states.values.flatMap(\.values))
    }
}
