/// What several ops are made of: new tensors from old ones on their device, with nothing recorded.
enum Compute {}

extension Compute {
    /// `f(x)` of each element.
    static func apply(_ f: UnaryFunction, _ x: Tensor) -> Tensor {
        let y = Tensor(uninitialized: x.shape, like: x)
        x.device.apply(f, x.count, x.elements, y.elements)
        return y
    }

    /// `dy f′(x)` from the input `x`.
    static func applyBackward(_ f: UnaryFunction, input x: Tensor, _ dy: Tensor) -> Tensor {
        let dx = Tensor(uninitialized: dy.shape, like: dy)
        dy.device.applyBackward(f, dy.count, x: x.elements, y: nil, dy: dy.elements, dx: dx.elements)
        return dx
    }

    /// `dy f′(x)` from the output `y = f(x)`, for functions whose derivative is a function of it.
    static func applyBackward(_ f: UnaryFunction, output y: Tensor, _ dy: Tensor) -> Tensor {
        let dx = Tensor(uninitialized: dy.shape, like: dy)
        dy.device.applyBackward(f, dy.count, x: nil, y: y.elements, dy: dy.elements, dx: dx.elements)
        return dx
    }

    /// `x ⊙ s` of each element.
    static func combine(_ op: BinaryOperator, _ x: Tensor, _ s: Float) -> Tensor {
        let y = Tensor(uninitialized: x.shape, like: x)
        x.device.combineScalar(op, x.count, x.elements, s, y.elements)
        return y
    }

    /// `x ⊙ y` of `x`'s type, stretched to a common shape by NumPy's rule: aligned at the end, sizes of 1 stretch.
    static func combine(_ op: BinaryOperator, _ x: Tensor, _ y: Tensor, name: StaticString) -> Tensor {
        if x.shape == y.shape {
            let z = Tensor(uninitialized: x.shape, like: x)
            x.device.combine(op, x.count, x.elements, y.elements, z.elements)
            return z
        }
        let rank = max(x.rank, y.rank)
        let a = x.padded(to: rank), b = y.padded(to: rank)
        let shape = zip(a.shape, b.shape).map { i, j in
            require(i == j || i == 1 || j == 1, "\(name): shapes \(x.shape) and \(y.shape) do not broadcast")
            return i == 1 ? j : i
        }
        let z = Tensor(uninitialized: shape, like: x)
        x.device.combineBroadcast(op, shape, x.elements, a.strides, y.elements, b.strides, z.elements)
        return z
    }

    /// Copied along axes of size 1 up to `shape`, as elements of `type`.
    static func stretch(_ x: Tensor, to shape: [Int], type: DType) -> Tensor {
        let y = Tensor(uninitialized: shape, on: x.device, type: type)
        x.device.broadcast(shape, x.elements, x.padded(to: shape.count).strides, y.elements)
        return y
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
            let sum = Tensor(uninitialized: sizes[..<axis] + Array(repeating: 1, count: last - axis + 1) + sizes[(last + 1)...], like: self)
            let (outer, n, inner) = (sizes[..<axis].reduce(1, *), sizes[axis...last].reduce(1, *), sizes[(last + 1)...].reduce(1, *))
            device.sumAxis(outer, n, inner, result.elements, sum.elements)
            result = sum
            sizes = sum.shape
        }
        return Tensor(shape: target, dtype: dtype, storage: result.storage)
    }
}
