/// How two shapes meet (NumPy's rule: aligned at the end, a size of 1 stretches), with neighbouring axes of like stretch
/// merged, so that an inner loop covers as much as it can.
struct Broadcast {
    /// The shape of the result.
    let shape: [Int]
    /// Merged axes, outermost first, with the steps of each operand along them; a stretched operand steps 0.
    private(set) var axes: [(size: Int, a: Int, b: Int)] = []

    init(_ a: [Int], _ b: [Int], op: StaticString) {
        let rank = max(a.count, b.count)
        let a = Array(repeating: 1, count: rank - a.count) + a, b = Array(repeating: 1, count: rank - b.count) + b
        shape = zip(a, b).map { x, y in
            require(x == y || x == 1 || y == 1, "\(op): shapes \(a) and \(b) do not broadcast")
            return x == 1 ? y : x
        }
        var stepA = 1, stepB = 1
        for axis in stride(from: rank - 1, through: 0, by: -1) where shape[axis] != 1 {
            let next = (size: shape[axis], a: a[axis] == 1 ? 0 : stepA, b: b[axis] == 1 ? 0 : stepB)
            if let last = axes.first, (last.a == 0) == (next.a == 0), (last.b == 0) == (next.b == 0) {
                axes[0] = (last.size * next.size, last.a, last.b)
            } else {
                axes.insert(next, at: 0)
            }
            stepA *= a[axis]
            stepB *= b[axis]
        }
        if axes.isEmpty { axes = [(1, 0, 0)] }
    }
}

extension Compute {
    /// `f` of two broadcast tensors.
    @inline(__always)
    static func broadcast(_ x: Tensor, _ y: Tensor, _ op: StaticString, _ f: (Float, Float) -> Float) -> Tensor {
        if x.shape == y.shape { return map(x, y, f) }
        let plan = Broadcast(x.shape, y.shape, op: op)
        let z = Tensor(uninitialized: plan.shape)
        guard z.count > 0 else { return z }
        let inner = plan.axes.last!, outer = plan.axes.dropLast()
        let a = x.floats, b = y.floats, c = z.floats
        let rows = outer.reduce(1) { $0 * $1.size }
        let columnGrain = rows == 1 ? grain : inner.size
        Parallel.run(rows, grain: max(1, grain / max(1, inner.size))) { rowRange in
            for row in rowRange {
                var rest = row, offsetA = 0, offsetB = 0
                for axis in outer.reversed() {
                    offsetA += rest % axis.size * axis.a
                    offsetB += rest % axis.size * axis.b
                    rest /= axis.size
                }
                let p = a + offsetA, q = b + offsetB, target = c + row * inner.size
                Parallel.run(inner.size, grain: columnGrain) { range in
                    if inner.a == 0 {
                        let left = p[0]
                        for i in range { target[i] = f(left, q[i]) }
                    } else if inner.b == 0 {
                        let right = q[0]
                        for i in range { target[i] = f(p[i], right) }
                    } else {
                        for i in range { target[i] = f(p[i], q[i]) }
                    }
                }
            }
        }
        return z
    }
}

extension Tensor {
    /// The sum over the axes that broadcasting stretched to reach this tensor's shape from `target`: its pullback.
    func summed(to target: [Int]) -> Tensor {
        if shape == target { return self }
        let padded = Array(repeating: 1, count: rank - target.count) + target
        var result = self, outer = shape
        var axis = rank
        while axis > 0 {
            guard padded[axis - 1] == 1, outer[axis - 1] != 1 else { axis -= 1; continue }
            var first = axis - 1
            while first > 0, padded[first - 1] == 1 { first -= 1 }
            let n = outer[first..<axis].reduce(1, *)
            let sum = Tensor(uninitialized: outer[..<first] + Array(repeating: 1, count: axis - first) + outer[axis...])
            Compute.sumAxis(result.floats, outer: outer[..<first].reduce(1, *), n: n, inner: outer[axis...].reduce(1, *), to: sum.floats)
            result = sum
            outer = sum.shape
            axis = first
        }
        return Tensor(shape: target, dtype: .float32, storage: result.storage)
    }
}
