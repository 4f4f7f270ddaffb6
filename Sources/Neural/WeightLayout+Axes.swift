import TensorCore

extension WeightLayout {
    /// The tensor as memory holds it, in the same precision.
    func toMemory(_ stored: Tensor) -> Tensor {
        switch self {
        case .plain: stored
        case .convolution: stored.swappingChannels(first: stored.shape[1], second: stored.shape[2] * stored.shape[3],
            to: [stored.shape[0], stored.shape[2], stored.shape[3], stored.shape[1]])
        }
    }

    /// The tensor as a checkpoint holds it, in the same precision.
    func toFile(_ held: Tensor) -> Tensor {
        switch self {
        case .plain: held.detached()
        case .convolution: held.swappingChannels(first: held.shape[1] * held.shape[2], second: held.shape[3],
            to: [held.shape[0], held.shape[3], held.shape[1], held.shape[2]])
        }
    }
}

extension Tensor {
    /// `[N, first, second]` → `[N, second, first]` over elements of any width, then seen as `shape`.
    fileprivate func swappingChannels(first: Int, second: Int, to shape: [Int]) -> Tensor {
        if first == 1 || second == 1 {                                  // a 1×1 kernel: the elements stay where they are
            return detached().reshaped(shape)
        }
        return withUnsafeBytes { source in
            Tensor(shape: shape, dtype: dtype) { target in
                switch dtype {
                case .float32: swapAxes(source.bindMemory(to: UInt32.self), target.bindMemory(to: UInt32.self), first, second)
                case .float16, .bfloat16: swapAxes(source.bindMemory(to: UInt16.self), target.bindMemory(to: UInt16.self), first, second)
                }
            }
        }
    }
}

private func swapAxes<Element: BitwiseCopyable>(
    _ source: UnsafeBufferPointer<Element>, _ target: UnsafeMutableBufferPointer<Element>, _ first: Int, _ second: Int
) {
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    let matrix = first * second
    for start in stride(from: 0, to: source.count, by: matrix) {
        for i in 0..<first {
            for j in 0..<second { to[start + j * first + i] = from[start + i * second + j] }
        }
    }
}
