import CCompute

/// Number loops over the memory of tensors, in C (CCompute): new tensors from old ones, with nothing recorded.
public enum Compute {}

extension Compute {
    /// `f(x)` of each element.
    static func apply(_ f: cc_function, _ x: Tensor) -> Tensor {
        let y = Tensor(uninitialized: x.shape)
        cc_apply(f, x.count, x.floats, y.floats)
        return y
    }

    /// `dy f′(x)` from the input `x`.
    static func applyBackward(_ f: cc_function, input x: Tensor, _ dy: Tensor) -> Tensor {
        let dx = Tensor(uninitialized: dy.shape)
        cc_apply_backward(f, dy.count, x.floats, nil, dy.floats, dx.floats)
        return dx
    }

    /// `dy f′(x)` from the output `y = f(x)`, for functions whose derivative is a function of it.
    static func applyBackward(_ f: cc_function, output y: Tensor, _ dy: Tensor) -> Tensor {
        let dx = Tensor(uninitialized: dy.shape)
        cc_apply_backward(f, dy.count, nil, y.floats, dy.floats, dx.floats)
        return dx
    }

    /// `x ⊙ s` of each element.
    static func combine(_ op: cc_operator, _ x: Tensor, _ s: Float) -> Tensor {
        let y = Tensor(uninitialized: x.shape)
        cc_combine_scalar(op, x.count, x.floats, s, y.floats)
        return y
    }

    /// `x ⊙ y`, stretched to a common shape by NumPy's rule: aligned at the end, sizes of 1 stretch.
    static func combine(_ op: cc_operator, _ x: Tensor, _ y: Tensor, name: StaticString) -> Tensor {
        if x.shape == y.shape {
            let z = Tensor(uninitialized: x.shape)
            cc_combine(op, x.count, x.floats, y.floats, z.floats)
            return z
        }
        let rank = max(x.rank, y.rank)
        let a = x.padded(to: rank), b = y.padded(to: rank)
        let shape = zip(a.shape, b.shape).map { i, j in
            require(i == j || i == 1 || j == 1, "\(name): shapes \(x.shape) and \(y.shape) do not broadcast")
            return i == 1 ? j : i
        }
        let z = Tensor(uninitialized: shape)
        cc_combine_broadcast(op, Int32(rank), shape, x.floats, a.strides, y.floats, b.strides, z.floats)
        return z
    }

    /// Copied along axes of size 1 up to `shape`.
    static func stretch(_ x: Tensor, to shape: [Int]) -> Tensor {
        let y = Tensor(uninitialized: shape)
        var one: Float = 1
        cc_combine_broadcast(CC_MULTIPLY, Int32(shape.count), shape, x.floats, x.padded(to: shape.count).strides, &one, shape.map { _ in 0 }, y.floats)
        return y
    }

    /// Copies `count` elements from one stored type to another, rounding to nearest even.
    static func convert(_ source: UnsafeRawPointer, _ from: DType, to target: UnsafeMutableRawPointer, _ to: DType, count: Int) {
        cc_convert(count, source, from.code, target, to.code)
    }
}

extension Tensor {
    /// This tensor's shape with leading sizes of 1 up to `rank`, and the steps along each axis: 0 where the size is 1.
    fileprivate func padded(to rank: Int) -> (shape: [Int], strides: [Int]) {
        let sizes = Array(repeating: 1, count: rank - self.rank) + shape
        var step = 1
        var strides = sizes
        for axis in sizes.indices.reversed() {
            strides[axis] = sizes[axis] == 1 ? 0 : step
            step *= sizes[axis]
        }
        return (sizes, strides)
    }

    /// The sum over the axes that broadcasting stretched to come from `target` to this shape: the pullback of stretching.
    func summed(to target: [Int]) -> Tensor {
        if shape == target { return self }
        let padded = Array(repeating: 1, count: rank - target.count) + target
        var result = self, sizes = shape
        var axis = rank
        while axis > 0 {
            axis -= 1
            guard padded[axis] == 1, sizes[axis] != 1 else { continue }
            let last = axis
            while axis > 0, padded[axis - 1] == 1 { axis -= 1 }
            let sum = Tensor(uninitialized: sizes[..<axis] + Array(repeating: 1, count: last - axis + 1) + sizes[(last + 1)...])
            cc_sum_axis(sizes[..<axis].reduce(1, *), sizes[axis...last].reduce(1, *), sizes[(last + 1)...].reduce(1, *), result.floats, sum.floats, false)
            result = sum
            sizes = sum.shape
        }
        return Tensor(shape: target, dtype: .float32, storage: result.storage)
    }
}

extension DType {
    var code: cc_dtype {
        switch self {
        case .float32: CC_F32
        case .float16: CC_F16
        case .bfloat16: CC_BF16
        }
    }
}
