import CCompute

// Reductions, normalisations, and ops that move rows.

extension HostDevice {
    public func sum(_ n: Int, _ x: Elements, _ y: Elements) { y.floats[0] = Float(cc_sum(n, x.floats)) }

    public func dot(_ n: Int, _ a: Elements, _ b: Elements, divisor: Float, _ y: Elements) {
        y.floats[0] = Float(cc_dot(n, a.floats, b.floats) / Double(divisor))
    }

    public func sumAxis(_ outer: Int, _ n: Int, _ inner: Int, _ x: Elements, _ y: Elements) {
        cc_sum_axis(outer, n, inner, x.floats, y.floats, false)
    }

    public func maxAbs(_ n: Int, _ x: Elements, _ y: Elements) { y.floats[0] = cc_max_abs(n, x.floats) }

    public func norm(_ parts: [ElementRun], _ y: Elements) {
        var total = 0.0
        for part in parts { addSquares(of: UnsafeBufferPointer(start: part.start.floats, count: part.count), to: &total) }
        y.floats[0] = Float(total.squareRoot())
    }

    /// A short float sum vectorises; Double carries the long one.
    private func addSquares(of values: UnsafeBufferPointer<Float>, to total: inout Double) {
        guard let base = values.baseAddress else { return }
        for start in stride(from: 0, to: values.count, by: 4096) {
            var lanes = SIMD8<Float>.zero
            let end = min(start + 4096, values.count), even = start + (end - start) / 8 * 8
            for i in stride(from: start, to: even, by: 8) {
                let x = UnsafeRawPointer(base + i).loadUnaligned(as: SIMD8<Float>.self)
                lanes += x * x
            }
            total += Double(lanes.sum())
            for i in even..<end { total += Double(base[i] * base[i]) }
        }
    }

    // MARK: Softmax

    public func softmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { cc_softmax(rows, n, x.floats, y.floats) }

    public func softmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements) {
        cc_softmax_backward(rows, n, y.floats, dy.floats, dx.floats)
    }

    public func logSoftmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { cc_log_softmax(rows, n, x.floats, y.floats) }

    public func logSoftmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements) {
        cc_log_softmax_backward(rows, n, y.floats, dy.floats, dx.floats)
    }

    public func crossEntropy(_ c: CrossEntropySizes, logs: Elements, _ y: Elements) {
        let logs = logs.floats, smoothing = Double(c.labelSmoothing)
        var total = 0.0
        for (row, target) in c.targets.enumerated() where target != c.ignored {
            total -= (1 - smoothing) * Double(logs[row * c.classes + target])
            if smoothing != 0 { total -= smoothing / Double(c.classes) * cc_sum(c.classes, logs + row * c.classes) }
        }
        y.floats[0] = Float(total / Double(c.counted))
    }

    public func crossEntropyBackward(_ c: CrossEntropySizes, logs: Elements, dy: Elements, dx: Elements) {
        let factor = dy.floats[0] / Float(c.counted), even = factor * c.labelSmoothing / Float(c.classes), count = c.rows * c.classes, dx = dx.floats
        cc_apply(CC_EXP, count, logs.floats, dx)
        cc_combine_scalar(CC_MULTIPLY, count, dx, factor, dx)
        if even != 0 { cc_combine_scalar(CC_SUBTRACT, count, dx, even, dx) }
        for (row, target) in c.targets.enumerated() {
            if target == c.ignored {
                cc_fill(c.classes, 0, dx + row * c.classes)
            } else {
                dx[row * c.classes + target] -= (1 - c.labelSmoothing) * factor
            }
        }
    }

    // MARK: Normalisation

    public func layerNorm(
        _ rows: Int, _ n: Int, _ epsilon: Float, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements
    ) {
        scale.widened(n) { scale in
            shift.widened(n) { shift in cc_layer_norm(rows, n, epsilon, x.floats, scale, shift, y.floats, mean.floats, rstd.floats) }
        }
    }

    public func layerNormBackward(
        _ rows: Int, _ n: Int, _ x: Elements, scale: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?
    ) {
        scale.widened(n) { scale in
            cc_layer_norm_backward(rows, n, x.floats, scale, mean.floats, rstd.floats, dy.floats, dx.floats, dscale?.floats, dshift?.floats)
        }
    }

    public func groupNorm(_ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements) {
        scale.widened(g.channels) { scale in
            shift.widened(g.channels) { shift in
                cc_group_norm(g.batch, g.pixels, g.channels, g.groups, g.epsilon, g.appliesSiLU, x.floats, scale, shift,
                              y.floats, mean.floats, rstd.floats)
            }
        }
    }

    public func groupNormBackward(
        _ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?
    ) {
        scale.widened(g.channels) { scale in
            shift.widened(g.channels) { shift in
                cc_group_norm_backward(g.batch, g.pixels, g.channels, g.groups, g.appliesSiLU, x.floats, scale, shift, mean.floats, rstd.floats,
                                       dy.floats, dx.floats, dscale?.floats, dshift?.floats)
            }
        }
    }

    // MARK: Moving elements

    public func copyRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int) {
        if x.type == .float32 { return cc_copy_rows(rows, n, x.floats, xRow, y.floats, yRow) }
        let size = x.type.byteSize
        for row in 0..<rows { copyBytes(n * size, from: x.address + row * xRow * size, to: y.address + row * yRow * size) }
    }

    public func addRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int) {
        cc_add_rows(rows, n, x.floats, xRow, y.floats, yRow)
    }

    public func transpose(_ shape: [Int], _ axes: [Int], _ x: Elements, _ y: Elements) {
        if x.type == .float32 { return cc_transpose(Int32(shape.count), shape, axes.map(Int32.init), x.floats, y.floats) }
        let count = shape.product, wide = Storage(byteCount: 4 * count, on: self), turned = Storage(byteCount: 4 * count, on: self)
        let (from, to) = (Elements(wide.pointer, .float32), Elements(turned.pointer, .float32))
        convert(count, x, from)
        transpose(shape, axes, from, to)
        convert(count, to, y)
        withExtendedLifetime((wide, turned)) {}
    }

    public func gatherRows(_ n: Int, _ table: Elements, _ indices: [Int], _ y: Elements) {
        cc_gather_rows(indices.count, n, table.address, table.type.code, indices, y.floats)
    }

    public func scatterAddRows(_ n: Int, _ x: Elements, _ indices: [Int], _ table: Elements) {
        cc_scatter_add_rows(indices.count, n, x.floats, indices, table.floats)
    }

    public func upsample2(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, _ x: Elements, _ y: Elements) {
        cc_upsample2(batch, height, width, channels, x.floats, y.floats)
    }

    public func upsample2Backward(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, dy: Elements, dx: Elements) {
        cc_upsample2_backward(batch, height, width, channels, dy.floats, dx.floats)
    }

    // MARK: Training

    public func clip(_ parts: [ElementRun], norm: Elements, limit: Float) {
        let factor = limit / (norm.floats[0] + 1e-6)
        guard factor < 1 else { return }
        for part in parts { cc_combine_scalar(CC_MULTIPLY, part.count, part.start.floats, factor, part.start.floats) }
    }

    public func adamW(_ n: Int, _ step: AdamWStep, gradient: Elements, weight: Elements, mean: Elements, square: Elements) {
        cc_adamw(n, weight.floats, gradient.floats, mean.floats, square.floats, step.learningRate, step.beta1, step.beta2, step.epsilon,
                 step.weightDecay, step.step, 1)
    }
}
