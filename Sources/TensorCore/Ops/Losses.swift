import Glibc

extension Tensor {
    /// `mean((x − target)²)`, shape `[]`.
    /// - Gradient: `2 (x − target) dy / n`, and its negative to the target.
    public func meanSquaredError(_ target: Tensor) -> Tensor {
        require(shape == target.shape, "meanSquaredError: \(shape) against \(target.shape)")
        let difference = Compute.map(self, target) { $0 - $1 }
        let n = Float(max(1, count))
        let loss = withoutGradients { difference.square().mean() }
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
    /// - Gradient: `(softmax(x) − q) dy / counted rows`, with q the smoothed target. Keeps the logits.
    public func crossEntropy(_ targets: [Int], ignoring ignored: Int = -100, labelSmoothing: Float = 0) -> Tensor {
        require(rank == 2 && targets.count == shape[0], "crossEntropy: logits \(shape) are [N, V], \(targets.count) targets")
        let (rows, classes) = (shape[0], shape[1])
        for target in targets { require(target == ignored || (target >= 0 && target < classes), "crossEntropy: target \(target) of \(classes) classes") }
        let counted = Float(max(1, targets.count { $0 != ignored }))
        let x = detached()
        let losses = Tensor.zeros([rows]), logSums = Tensor(uninitialized: [rows])
        let (logits, loss, logSum) = (x.floats, losses.floats, logSums.floats)
        Parallel.run(rows, grain: max(1, Compute.grain / (4 * max(1, classes)))) { range in
            for row in range where targets[row] != ignored {
                let source = logits + row * classes
                let (peak, total) = Compute.expSum(source, classes)
                logSum[row] = peak + logf(total)
                let mean = Float(Compute.sum(source, count: classes) / Double(classes))
                loss[row] = logSum[row] - (1 - labelSmoothing) * source[targets[row]] - labelSmoothing * mean
            }
        }
        return record("crossEntropy", withoutGradients { losses.sum() * (1 / counted) }) { dy in
            let dx = Tensor(uninitialized: [rows, classes]), factor = dy.item() / counted
            let (logits, logSum, gradient) = (x.floats, logSums.floats, dx.floats)
            Parallel.run(rows, grain: max(1, Compute.grain / (4 * max(1, classes)))) { range in
                for row in range {
                    let source = logits + row * classes, target = gradient + row * classes
                    if targets[row] == ignored {
                        target.update(repeating: 0, count: classes)
                        continue
                    }
                    let even = labelSmoothing / Float(classes)
                    for i in 0..<classes { target[i] = (expf(source[i] - logSum[row]) - even) * factor }
                    target[targets[row]] -= (1 - labelSmoothing) * factor
                }
            }
            return dx
        }
    }
}
