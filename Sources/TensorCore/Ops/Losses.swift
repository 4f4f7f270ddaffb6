extension Tensor {
    /// `mean((x − target)²)`, shape `[]`.
    /// - Gradient: `2 (x − target) dy / n`, and its negative to the target. Keeps the difference.
    public func meanSquaredError(_ target: Tensor) -> Tensor {
        require(shape == target.shape, "meanSquaredError: \(shape) against \(target.shape)")
        if let (a, b) = Tensor.united("meanSquaredError", self, target) { return a.meanSquaredError(b) }
        let difference = Compute.combine(.subtract, self, target, name: "meanSquaredError")
        let n = Float(max(1, count)), loss = Tensor(uninitialized: [], on: device)
        device.dot(count, difference.elements, difference.elements, divisor: n, loss.elements)
        return Tensor.record("meanSquaredError", loss, from: [self, target]) { dy, needs in
            let factor = dy * 2 / n
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
        let sizes = CrossEntropySizes(classes: classes, targets: targets, ignored: ignored, labelSmoothing: labelSmoothing)
        let logs = Tensor(uninitialized: shape, like: self), loss = Tensor(uninitialized: [], on: device)
        device.logSoftmax(rows, classes, elements, logs.elements)
        device.crossEntropy(sizes, logs: logs.elements, loss.elements)
        return record("crossEntropy", loss) { dy in
            let dx = Tensor(uninitialized: logs.shape, like: logs)
            dy.device.crossEntropyBackward(sizes, logs: logs.elements, dy: dy.elements, dx: dx.elements)
            return dx
        }
    }
}
