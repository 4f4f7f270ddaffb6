extension Tensor {
    /// The sum of all elements, shape `[]`.
    /// - Gradient: `dy` everywhere.
    public func sum() -> Tensor {
        let total = Tensor(uninitialized: [])
        Compute.sumAxis(floats, outer: 1, n: count, inner: 1, to: total.floats)
        let shape = shape
        return record("sum", total) { dy in Tensor.full(dy.item(), shape) }
    }

    /// The mean of all elements, shape `[]`.
    public func mean() -> Tensor { sum() * (1 / Float(max(1, count))) }

    /// The sum along one axis; negative axes count from the end.
    /// - Parameter keepingAxis: leaves the axis with size 1.
    /// - Gradient: `dy` stretched along the axis.
    public func sum(axis: Int, keepingAxis: Bool = false) -> Tensor {
        let axis = checkedAxis(axis, "sum")
        let kept = Array(shape[..<axis]) + [1] + shape[(axis + 1)...]
        let total = Tensor(uninitialized: kept)
        Compute.sumAxis(floats, outer: shape[..<axis].reduce(1, *), n: shape[axis], inner: shape[(axis + 1)...].reduce(1, *), to: total.floats)
        let shape = shape
        let result = record("sum", total) { dy in dy.stretched(to: shape) }
        return keepingAxis ? result : result.reshaped(Array(shape[..<axis]) + shape[(axis + 1)...])
    }

    /// The mean along one axis.
    public func mean(axis: Int, keepingAxis: Bool = false) -> Tensor {
        let n = shape[checkedAxis(axis, "mean")]
        return sum(axis: axis, keepingAxis: keepingAxis) * (1 / Float(max(1, n)))
    }

    /// Copied along axes of size 1 up to `target`.
    private func stretched(to target: [Int]) -> Tensor {
        Compute.broadcast(self, Tensor.zeros(target), "sum", { a, _ in a })
    }

    /// `axis` counted from the front.
    func checkedAxis(_ axis: Int, _ op: StaticString) -> Int {
        require(axis >= -rank && axis < rank, "\(op): axis \(axis) of \(shape)")
        return axis < 0 ? axis + rank : axis
    }
}
