import TensorCore

/// Scales gradients so that their common L2 norm is at most `maximumNorm`, as `torch.nn.utils.clip_grad_norm_` does.
///
/// - Parameter maximumNorm: 0 leaves the gradients as they are.
/// - Returns: the gradients, and their norm before clipping.
public func clipped(_ gradients: [Tensor], maximumNorm: Float) -> (gradients: [Tensor], norm: Float) {
    let norm = globalNorm(gradients)
    let factor = maximumNorm / (norm + 1e-6)
    guard maximumNorm > 0, factor < 1 else { return (gradients, norm) }
    return (withoutGradients { gradients.map { $0 * factor } }, norm)
}

/// `√Σ g²` over all elements of all tensors, summed in Double.
public func globalNorm(_ tensors: [Tensor]) -> Float {
    var total = 0.0
    for tensor in tensors {
        tensor.withUnsafeFloats { values in
            guard let base = values.baseAddress else { return }
            for start in stride(from: 0, to: values.count, by: 4096) {
                var lanes = SIMD8<Float>.zero                           // a short float sum vectorises; Double carries the long one
                let end = min(start + 4096, values.count), even = start + (end - start) / 8 * 8
                for i in stride(from: start, to: even, by: 8) {
                    let x = UnsafeRawPointer(base + i).loadUnaligned(as: SIMD8<Float>.self)
                    lanes += x * x
                }
                total += Double(lanes.sum())
                for i in even..<end { total += Double(base[i] * base[i]) }
            }
        }
    }
    return Float(total.squareRoot())
}
