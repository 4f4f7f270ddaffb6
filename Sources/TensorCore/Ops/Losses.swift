import CCompute

extension Tensor {
    /// `mean((x − target)²)`, shape `[]`.
    /// - Gradient: `2 (x − target) dy / n`, and its negative to the target. Keeps the difference.
    public func meanSquaredError(_ target: Tensor) -> Tensor {
        require(shape == target.shape, "meanSquaredError: \(shape) against \(target.shape)")
        let difference = Compute.combine(CC_SUBTRACT, self, target, name: "meanSquaredError")
        let n = Float(max(1, count))
        let loss = Tensor.scalar(Float(cc_dot(count, difference.floats, difference.floats) / Double(n)))
        return Tensor.record("meanSquaredError", loss, from: [self, target]) { dy, needs in
            let factor = 2 * dy.item() / n
            return [needs[0] ? difference * factor : nil, needs[1] ? difference * -factor : nil]
        }
    }

    /// Mean cross-entropy of logits `[N, V]` against class indices, shape `[]`, in nats.
    ///
    /// - Parameters:
    ///   - targets: N class indices; rows whose target is `ignored` do not count. 0 when all are ignored.
    ///   - labelSmoothing: the part ε of the target that is spread evenly over all V classes (as PyTorch's).
    /// - Gradient: `(softmax(x) − q) dy / counted rows`, with q the smoothed target. Keeps `log softmax(x)`.
    public func crossEntropy(_ targets: [Int], ignoring ignored: Int = -100, labelSmoothing: Float = 0) -> Tensor {
        require(rank == 2 && targets.count == shape[0], "crossEntropy: logits \(shape) are [N, V], \(targets.count) targets")
        let (rows, classes) = (shape[0], shape[1])
        for target in targets { require(target == ignored || (target >= 0 && target < classes), "crossEntropy: target \(target) of \(classes) classes") }
        let counted = Double(max(1, targets.count { $0 != ignored })), smoothing = Double(labelSmoothing)
        let logs = Tensor(uninitialized: shape)
        cc_log_softmax(rows, classes, floats, logs.floats)
        var total = 0.0
        for (row, target) in targets.enumerated() where target != ignored {
            total -= (1 - smoothing) * Double(logs.floats[row * classes + target])
            if smoothing != 0 { total -= smoothing / Double(classes) * cc_sum(classes, logs.floats + row * classes) }
        }
        return record("crossEntropy", .scalar(Float(total / counted))) { dy in
            let factor = dy.item() / Float(counted), even = factor * labelSmoothing / Float(classes)
            let dx = Compute.combine(CC_MULTIPLY, Compute.apply(CC_EXP, logs), factor)
            if even != 0 { cc_combine_scalar(CC_SUBTRACT, dx.count, dx.floats, even, dx.floats) }
            for (row, target) in targets.enumerated() {
                if target == ignored {
                    cc_fill(classes, 0, dx.floats + row * classes)
                } else {
                    dx.floats[row * classes + target] -= (1 - labelSmoothing) * factor
                }
            }
            return dx
        }
    }
}
