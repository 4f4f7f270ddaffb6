import TensorCore

/// A normalisation layer's place for adapters: they add to its scale and its shift.
///
/// `adapters` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class NormSlot: @unchecked Sendable {
    /// Module path in the model ("down_blocks.0.resnets.0.norm1").
    public let path: String
    /// `[C]` each.
    public let scale: Parameter, shift: Parameter
    public var adapters: [any NormAdapter] = []

    init(path: String, scale: Parameter, shift: Parameter) {
        (self.path, self.scale, self.shift) = (path, scale, shift)
    }

    var adaptedScale: Tensor { adapters.reduce(scale.tensor) { $0 + $1.scaleDelta } }
    var adaptedShift: Tensor { adapters.reduce(shift.tensor) { sum, adapter in adapter.shiftDelta.map { sum + $0 } ?? sum } }
}

/// Adds to a normalisation layer's scale and shift.
public protocol NormAdapter: AnyObject {
    /// `[C]`.
    var scaleDelta: Tensor { get }
    /// `[C]`; nil leaves the shift as it is.
    var shiftDelta: Tensor? { get }
}
