import TensorCore

/// Scales gradients so that their common L2 norm is at most `maximumNorm`, as `torch.nn.utils.clip_grad_norm_` does; in place where
/// nobody else holds them.
///
/// - Parameters:
///   - gradients: on one device.
///   - maximumNorm: 0 leaves the gradients as they are.
/// - Returns: the gradients, and their norm `[]` before clipping, which is not read.
public func clipped(_ gradients: consuming [Tensor], maximumNorm: Float) -> (gradients: [Tensor], norm: Tensor) {
    let norm = Tensor.norm(of: gradients)
    if maximumNorm > 0 { Tensor.clip(&gradients, norm: norm, limit: maximumNorm) }
    return (gradients, norm)
}
