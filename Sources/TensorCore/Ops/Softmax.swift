import Glibc

extension Tensor {
    /// Softmax over the last axis: `y_i = exp(x_i − max x) / Σ_j exp(x_j − max x)`.
    /// - Gradient: `dx = y ⊙ (dy − Σ_j dy_j y_j)`. Keeps `y`, lets `x` go.
    public func softmax() -> Tensor {
        let y = rowwise("softmax") { x, y, width in
            let (peak, total) = Compute.expSum(x, width)
            for i in 0..<width { y[i] = expf(x[i] - peak) / total }
        }
        let width = shape.last!
        return record("softmax", y) { dy in
            dy.rowwise("softmax", with: y) { dy, y, dx in
                var dot: Float = 0
                for i in 0..<width { dot += dy[i] * y[i] }
                for i in 0..<width { dx[i] = y[i] * (dy[i] - dot) }
            }
        }
    }

    /// `x_i − max x − log Σ_j exp(x_j − max x)` over the last axis.
    /// - Gradient: `dx = dy − exp(y) Σ_j dy_j`. Keeps `y`.
    public func logSoftmax() -> Tensor {
        let y = rowwise("logSoftmax") { x, y, width in
            let (peak, total) = Compute.expSum(x, width)
            let shift = peak + logf(total)
            for i in 0..<width { y[i] = x[i] - shift }
        }
        let width = shape.last!
        return record("logSoftmax", y) { dy in
            dy.rowwise("logSoftmax", with: y) { dy, y, dx in
                var sum: Float = 0
                for i in 0..<width { sum += dy[i] }
                for i in 0..<width { dx[i] = dy[i] - expf(y[i]) * sum }
            }
        }
    }

    /// `body` for each row of the last axis.
    private func rowwise(_ op: StaticString, _ body: (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void) -> Tensor {
        require(rank >= 1, "\(op): a scalar has no last axis")
        let width = shape.last!, result = Tensor(uninitialized: shape)
        let source = floats, target = result.floats
        Parallel.run(width == 0 ? 0 : count / width, grain: max(1, Compute.grain / (4 * max(1, width)))) { rows in
            for row in rows { body(source + row * width, target + row * width, width) }
        }
        return result
    }

    private func rowwise(_ op: StaticString, with other: Tensor, _ body: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void) -> Tensor {
        let base = floats, second = other.floats
        return rowwise(op) { x, y, _ in body(x, second + (x - UnsafePointer(base)), y) }
    }
}

extension Compute {
    /// The largest element of a row, and `Σ exp(x − largest)`.
    static func expSum(_ x: UnsafePointer<Float>, _ count: Int) -> (peak: Float, total: Float) {
        var peak = -Float.infinity
        for i in 0..<count { peak = max(peak, x[i]) }
        var total: Float = 0
        for i in 0..<count { total += expf(x[i] - peak) }
        return (peak, total)
    }
}
