import Neural
import TensorCore

/// The types of adapter that are known here.
public enum AdapterKind: String, Sendable, CaseIterable {
    case lora = "LoRA", locon = "LoCon (Tucker)", loha = "LoHa", lokr = "LoKr", full = "full difference", norm = "normalisation"
}

/// A trained change of one layer, under Kohya's name for it.
public protocol Adapter: AnyObject, Sendable {
    var kind: AdapterKind { get }
    /// `lora_unet_down_blocks_0_attentions_0_proj_in`.
    var name: String { get }
    /// Strength at which the adapter is applied; 1 while training.
    var multiplier: Float { get set }
    /// What is trained.
    var parameters: [Parameter] { get }
    /// Where that which it changes lies.
    var device: any Device { get }
    /// Rank and alpha of formulas that have them.
    var size: AdapterSize? { get }
    /// What a file holds under this name, in the file's layout.
    func tensors() -> [(ending: String, tensor: Tensor)]
    /// Replaces the values of `parameters`, in their order; of a LoRA they may have another rank, and its alpha is replaced, too.
    func set(_ values: [Tensor], alpha: Float?)
    /// Puts the adapter in its layer's slot.
    func place()
    /// Takes it out.
    func remove()
    /// Adds the adapter to the base weights for good, in float32, stored in each weight's own precision.
    func merge(strength: Float)
}

extension Adapter {
    public var part: AdapterPart { AdapterPart(name: name) }

    public func set(_ values: [Tensor], alpha: Float?) {
        precondition(values.count == parameters.count, "\(name): \(values.count) values for \(parameters.count) parameters")
        for (parameter, value) in zip(parameters, values) { parameter.replace(with: value) }
    }
}

/// Rank and alpha of an adapter.
public struct AdapterSize: Sendable, Equatable {
    public var rank: Int
    public var alpha: Float

    public init(rank: Int, alpha: Float) { (self.rank, self.alpha) = (rank, alpha) }
}

/// An adapter of a linear layer or a convolution.
public protocol LayerChange: Adapter, LayerAdapter {
    /// The layer this adapts.
    var layer: any AdaptableLayer { get }
    /// What is added to the layer's weight, in the weight's own shape.
    func weightDelta(multiplier: Float) -> Tensor
    /// What is added to the layer's bias; nil where it stays.
    func biasDelta(multiplier: Float) -> Tensor?
}

extension LayerChange {
    public var device: any Device { layer.weight.value.device }
    public func place() { layer.adapters.append(self) }
    public func remove() { layer.adapters.removeAll { $0 === self } }
    public func biasDelta(multiplier: Float) -> Tensor? { nil }

    public func merge(strength: Float) {
        withoutGradients {
            layer.weight.add(weightDelta(multiplier: multiplier * strength))
            if let bias = layer.bias, let change = biasDelta(multiplier: multiplier * strength) { bias.add(change) }
        }
    }
}

extension Parameter {
    /// Adds in float32 and stores in the value's own precision.
    func add(_ change: Tensor) { value = (value.converted(to: .float32) + change.moved(to: value.device)).converted(to: value.dtype) }

    /// Takes another value where the present one lies; it may have another shape.
    func replace(with new: Tensor) { value = new.moved(to: value.device) }
}

/// Adapters that go into a model and out of it together.
public protocol AdapterCollection: AnyObject {
    /// Text encoders first, then the UNet, each in the model's order.
    var adapters: [any Adapter] { get }
    var placement: Placement { get }
}

/// Whether a collection is in its model. Changes between steps only, by the session that owns the model.
public final class Placement: @unchecked Sendable {
    public internal(set) var isAttached = false
    init() {}
}

extension AdapterCollection {
    public var isAttached: Bool { placement.isAttached }

    /// What is trained, in order.
    public var parameters: [Parameter] { adapters.flatMap(\.parameters) }
    /// The adapters of the UNet, or of the text encoders.
    public func adapters(ofUNet isUNet: Bool) -> [any Adapter] { adapters.filter { ($0.part == .unet) == isUNet } }
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.value.count } }

    /// Places every adapter whose multiplier is not 0 in its layer's slot, its parameters on the layer's device. Placing twice is placing once.
    public func attach() {
        detach()
        placement.isAttached = true
        for adapter in adapters { adapter.parameters.forEach { $0.move(to: adapter.device) } }
        for adapter in adapters where adapter.multiplier != 0 { adapter.place() }
    }

    /// Takes the adapters out; the model is the base model again (or carries what other networks left).
    public func detach() {
        placement.isAttached = false
        for adapter in adapters { adapter.remove() }
    }

    /// Strength per part, both text encoders together; 0 takes a part out of the computation altogether.
    public func setMultiplier(unet: Float, textEncoder: Float) {
        for adapter in adapters { adapter.multiplier = adapter.part == .unet ? unet : textEncoder }
        if isAttached { attach() }
    }

    /// Runs `body` with other strengths, then puts the old ones back.
    public func withMultiplier<R>(unet: Float, textEncoder: Float, _ body: () throws -> R) rethrows -> R {
        let before = adapters.map(\.multiplier)
        setMultiplier(unet: unet, textEncoder: textEncoder)
        defer {
            for (adapter, multiplier) in zip(adapters, before) { adapter.multiplier = multiplier }
            if isAttached { attach() }
        }
        return try body()
    }

    /// Adds the adapters to the base weights: `W ← W + multiplier · ΔW`, in float32, stored in the weight's own precision.
    /// - Parameter strength: further factor. The network should be detached afterwards, or it counts twice.
    public func merge(strength: Float = 1) {
        for adapter in adapters where adapter.multiplier * strength != 0 { adapter.merge(strength: strength) }
    }
}
