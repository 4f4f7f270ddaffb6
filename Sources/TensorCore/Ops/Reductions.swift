extension Tensor {
    /// The sum of all elements, float32 of shape `[]`.
    /// - Gradient: `dy` everywhere.
    public func sum() -> Tensor {
        let shape = shape, type = dtype, total = Tensor(uninitialized: [], on: device)
        device.sum(count, elements, total.elements)
        return record("sum", total) { dy in Compute.stretch(dy, to: shape, type: type) }
    }

    /// The mean of all elements, shape `[]`.
    public func mean() -> Tensor { sum() * (1 / Float(max(1, count))) }

    /// The sum along one axis; negative axes count from the end.
    /// - Parameter keepingAxis: leaves the axis with size 1.
    /// - Gradient: `dy` stretched along the axis.
    public func sum(axis: Int, keepingAxis: Bool = false) -> Tensor {
        let axis = checkedAxis(axis, "sum")
        let kept = Array(shape[..<axis]) + [1] + shape[(axis + 1)...]
        let total = Tensor(uninitialized: kept, like: self)
        device.sumAxis(shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *), elements, total.elements)
        let shape = shape
        let result = record("sum", total) { dy in Compute.stretch(dy, to: shape, type: dy.dtype) }
        return keepingAxis ? result : result.reshaped(Array(shape[..<axis]) + shape[(axis + 1)...])
    }

    /// The mean along one axis.
    public func mean(axis: Int, keepingAxis: Bool = false) -> Tensor {
        let n = shape[checkedAxis(axis, "mean")]
        return sum(axis: axis, keepingAxis: keepingAxis) * (1 / Float(max(1, n)))
    }

    /// The largest magnitude of all elements, float32 of shape `[]`; NaN if any is NaN, 0 if there is none. No gradient flows through it.
    public func largestMagnitude() -> Tensor {
        let largest = Tensor(uninitialized: [], on: device), operand = detached().converted(to: .float32)
        device.maxAbs(count, operand.elements, largest.elements)
        return largest
    }

    /// Whether no element is infinite or not a number. Reads one number from the device.
    public var isFinite: Bool { largestMagnitude().item().isFinite }

    /// The same of tensors on one device, by a single read.
    public static func areFinite(_ tensors: [Tensor]) -> Bool { items(of: tensors.map { $0.largestMagnitude() }).allSatisfy(\.isFinite) }

    /// `√Σ x²` over all elements of all tensors, float32 of shape `[]`; they lie on one device. No gradient flows through it.
    public static func norm(of tensors: [Tensor]) -> Tensor {
        guard let device = tensors.first?.device else { return scalar(0) }
        require(tensors.allSatisfy { $0.device === device }, "norm: tensors of several devices")
        let result = Tensor(uninitialized: [], on: device)
        device.norm(tensors.map { ElementRun($0.count, $0.elements) }, result.elements)
        return result
    }

    /// `axis` counted from the front.
    func checkedAxis(_ axis: Int, _ op: StaticString) -> Int {
        require(axis >= -rank && axis < rank, "\(op): axis \(axis) of \(shape)")
        return axis < 0 ? axis + rank : axis
    }
}
