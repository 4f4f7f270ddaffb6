import Checkpoints
import TensorCore

/// Normalises each group of channels of each picture, then scales and shifts each channel (Wu and He 2018, arXiv:1803.08494).
public struct GroupNorm: Sendable {
    public let groups: Int
    public let epsilon: Float
    public let scale: Parameter, shift: Parameter
    private let slot: NormSlot

    public init(_ w: Weights, groups: Int, channels: Int, epsilon: Float) throws(CheckpointError) {
        precondition(channels % groups == 0, "\(w.path): \(channels) channels do not divide into \(groups) groups")
        self.groups = groups
        self.epsilon = epsilon
        scale = try w.parameter("weight", shape: [channels], initial: .ones)
        shift = try w.parameter("bias", shape: [channels], initial: .zeros)
        slot = NormSlot(path: w.path, scale: scale, shift: shift)
        w.registry.add(slot)
    }

    /// - Parameter x: `[B, H, W, C]`. - Returns: the same shape.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        x.groupNorm(groups: groups, scale: slot.adaptedScale, shift: slot.adaptedShift, epsilon: epsilon)
    }

    /// `silu(norm(x))` in one pass.
    public func thenSiLU(_ x: Tensor) -> Tensor {
        x.groupNorm(groups: groups, scale: slot.adaptedScale, shift: slot.adaptedShift, epsilon: epsilon, activation: .silu)
    }
}

/// Normalises the last axis, then scales and shifts each feature (Ba et al. 2016, arXiv:1607.06450).
public struct LayerNorm: Sendable {
    public let epsilon: Float
    public let scale: Parameter, shift: Parameter
    private let slot: NormSlot

    public init(_ w: Weights, width: Int, epsilon: Float = 1e-5) throws(CheckpointError) {
        self.epsilon = epsilon
        scale = try w.parameter("weight", shape: [width], initial: .ones)
        shift = try w.parameter("bias", shape: [width], initial: .zeros)
        slot = NormSlot(path: w.path, scale: scale, shift: shift)
        w.registry.add(slot)
    }

    /// - Parameter x: `[..., D]`. - Returns: the same shape.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        x.layerNorm(scale: slot.adaptedScale, shift: slot.adaptedShift, epsilon: epsilon)
    }
}
