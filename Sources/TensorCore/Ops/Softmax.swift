extension Tensor {
    /// Softmax over the last axis: `y_i = exp(x_i − max x) / Σ_j exp(x_j − max x)`.
    /// - Gradient: `dx = y ⊙ (dy − Σ_j dy_j y_j)`. Keeps `y`, lets `x` go.
    public func softmax() -> Tensor {
        let (rows, width) = rowsAndWidth("softmax")
        let y = Tensor(uninitialized: shape, like: self)
        device.softmax(rows, width, elements, y.elements)
        return record("softmax", y) { dy in
            let dx = Tensor(uninitialized: dy.shape, like: dy)
            dy.device.softmaxBackward(rows, width, y: y.elements, dy: dy.elements, dx: dx.elements)
            return dx
        }
    }

    /// `x_i − max x − log Σ_j exp(x_j − max x)` over the last axis.
    /// - Gradient: `dx = dy − exp(y) Σ_j dy_j`. Keeps `y`.
    public func logSoftmax() -> Tensor {
        let (rows, width) = rowsAndWidth("logSoftmax")
        let y = Tensor(uninitialized: shape, like: self)
        device.logSoftmax(rows, width, elements, y.elements)
        return record("logSoftmax", y) { dy in
            let dx = Tensor(uninitialized: dy.shape, like: dy)
            dy.device.logSoftmaxBackward(rows, width, y: y.elements, dy: dy.elements, dx: dx.elements)
            return dx
        }
    }

    private func rowsAndWidth(_ op: StaticString) -> (rows: Int, width: Int) {
        require(rank >= 1, "\(op): a scalar has no last axis")
        return (shape.dropLast().reduce(1, *), shape.last!)
    }
}
