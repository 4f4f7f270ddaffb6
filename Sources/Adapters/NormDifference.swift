import Neural
import TensorCore

/// The difference of a normalisation layer's scale and shift: "w_norm" and "b_norm" `[C]` (LyCORIS' `train_norm`).
///
/// `multiplier` changes between steps only, by the one session that owns the model; hence `@unchecked Sendable`.
public final class NormDifference: Adapter, NormAdapter, @unchecked Sendable {
    public let kind = AdapterKind.norm
    public let name: String
    public let slot: NormSlot
    public let scale: Parameter
    public let shift: Parameter?
    public var multiplier: Float = 1

    init(name: String, slot: NormSlot, scale: Tensor, shift: Tensor?, trainable: Bool) {
        self.name = name
        self.slot = slot
        self.scale = Parameter("\(name).w_norm", scale, trainable: trainable)
        self.shift = shift.map { Parameter("\(name).b_norm", $0, trainable: trainable) }
    }

    public var size: AdapterSize? { nil }
    public var device: any Device { slot.scale.value.device }
    public var parameters: [Parameter] { [scale] + (shift.map { [$0] } ?? []) }
    public var scaleDelta: Tensor { scale.tensor * multiplier }
    public var shiftDelta: Tensor? { shift.map { $0.tensor * multiplier } }
    public func tensors() -> [(ending: String, tensor: Tensor)] { [("w_norm", scale.value)] + (shift.map { [("b_norm", $0.value)] } ?? []) }
    public func place() { slot.adapters.append(self) }
    public func remove() { slot.adapters.removeAll { $0 === self } }

    public func merge(strength: Float) {
        withoutGradients {
            slot.scale.add(scale.value * (multiplier * strength))
            if let shift { slot.shift.add(shift.value * (multiplier * strength)) }
        }
    }
}
