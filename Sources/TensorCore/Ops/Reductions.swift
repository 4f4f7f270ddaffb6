import CCompute

extension Tensor {
    /// The sum of all elements, shape `[]`.
    /// - Gradient: `dy` everywhere.
    public func sum() -> Tensor {
        let shape = shape
        return record("sum", .scalar(Float(cc_sum(count, floats)))) { dy in Tensor.full(dy.item(), shape) }
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
        cc_sum_axis(shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *), floats, total.floats, false)
        let shape = shape
        let result = record("sum", total) { dy in Compute.stretch(dy, to: shape) }
        return keepingAxis ? result : result.reshaped(Array(shape[..<axis]) + shape[(axis + 1)...])
    }

    /// The mean along one axis.
    public func mean(axis: Int, keepingAxis: Bool = false) -> Tensor {
        let n = shape[checkedAxis(axis, "mean")]
        return sum(axis: axis, keepingAxis: keepingAxis) * (1 / Float(max(1, n)))
    }

    /// `axis` counted from the front.
    func checkedAxis(_ axis: Int, _ op: StaticString) -> Int {
        require(axis >= -rank && axis < rank, "\(op): axis \(axis) of \(shape)")
        return axis < 0 ? axis + rank : axis
    }
}
