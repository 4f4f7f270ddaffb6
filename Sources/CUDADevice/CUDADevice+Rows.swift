import CCUDA
import TensorCore

// Reductions, normalisations, what moves rows, and training.

extension CUDADevice {
    public func sum(_ n: Int, _ x: Elements, _ y: Elements) { ccuda_sum(context, x.type.code, n, x.address, 1, y.floats) }

    public func dot(_ n: Int, _ a: Elements, _ b: Elements, divisor: Float, _ y: Elements) {
        var loans = Loans(self)
        ccuda_dot(context, a.type.code, n, a.address, loans.operand(b, n, as: a.type), 1 / Double(divisor), y.floats)
    }

    public func sumAxis(_ outer: Int, _ n: Int, _ inner: Int, _ x: Elements, _ y: Elements) {
        ccuda_sum_axis(context, x.type.code, y.type.code, outer, n, inner, x.address, y.address, false)
    }

    public func maxAbs(_ n: Int, _ x: Elements, _ y: Elements) { ccuda_max_abs(context, x.type.code, n, x.address, y.floats) }

    public func norm(_ parts: [ElementRun], _ y: Elements) {
        var loans = Loans(self)
        var runs: [ccuda_run] = []
        for part in parts { runs.append(ccuda_run(start: loans.operand(part.start, part.count, as: .float32).floats, count: part.count)) }
        ccuda_norm(context, runs.count, runs, y.floats)
    }

    // MARK: Softmax

    public func softmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { ccuda_softmax(context, x.type.code, rows, n, x.address, y.address) }

    public func softmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements) {
        var loans = Loans(self)
        ccuda_softmax_backward(context, dx.type.code, rows, n, loans.operand(y, rows * n, as: dx.type), loans.operand(dy, rows * n, as: dx.type), dx.address)
    }

    public func logSoftmax(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { ccuda_log_softmax(context, x.type.code, rows, n, x.address, y.address) }

    public func logSoftmaxBackward(_ rows: Int, _ n: Int, y: Elements, dy: Elements, dx: Elements) {
        var loans = Loans(self)
        ccuda_log_softmax_backward(context, dx.type.code, rows, n, loans.operand(y, rows * n, as: dx.type), loans.operand(dy, rows * n, as: dx.type), dx.address)
    }

    public func crossEntropy(_ c: CrossEntropySizes, logs: Elements, _ y: Elements) {
        var loans = Loans(self)
        let targets = loans.upload(c.targets.map(Int64.init)).assumingMemoryBound(to: Int64.self), logs = loans.operand(logs, c.rows * c.classes, as: .float32)
        ccuda_cross_entropy(context, c.rows, c.classes, logs.floats, targets, Int64(c.ignored), c.labelSmoothing, c.counted, y.floats)
    }

    public func crossEntropyBackward(_ c: CrossEntropySizes, logs: Elements, dy: Elements, dx: Elements) {
        var loans = Loans(self)
        let count = c.rows * c.classes, wide = dx.type == .float32 ? dx : Elements(loans.block(4 * count), .float32)
        let targets = loans.upload(c.targets.map(Int64.init)).assumingMemoryBound(to: Int64.self), logs = loans.operand(logs, count, as: .float32)
        let factor = loans.operand(dy, 1, as: .float32)
        ccuda_cross_entropy_backward(
            context, c.rows, c.classes, logs.floats, targets, Int64(c.ignored), c.labelSmoothing, c.counted, factor.floats, wide.floats)
        if dx.type != .float32 { convert(count, wide, dx) }
    }

    // MARK: Normalisation

    public func layerNorm(
        _ rows: Int, _ n: Int, _ epsilon: Float, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements
    ) {
        let scale = weight(scale, n, as: .float32).floats, shift = weight(shift, n, as: .float32).floats
        ccuda_layer_norm(context, x.type.code, rows, n, epsilon, x.address, scale, shift, y.address, mean.floats, rstd.floats)
    }

    public func layerNormBackward(
        _ rows: Int, _ n: Int, _ x: Elements, scale: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements, dscale: Elements?, dshift: Elements?
    ) {
        var loans = Loans(self)
        let scale = weight(scale, n, as: .float32).floats, dy = loans.operand(dy, rows * n, as: x.type)
        ccuda_layer_norm_backward(
            context, x.type.code, rows, n, x.address, scale, mean.floats, rstd.floats, dy, dx.address, dscale?.floats, dshift?.floats)
    }

    public func groupNorm(_ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, _ y: Elements, mean: Elements, rstd: Elements) {
        let scale = weight(scale, g.channels, as: .float32).floats, shift = weight(shift, g.channels, as: .float32).floats
        ccuda_group_norm(
            context, x.type.code, g.batch, g.pixels, g.channels, g.groups, g.epsilon, g.appliesSiLU, x.address, scale, shift, y.address, mean.floats, rstd.floats)
    }

    public func groupNormBackward(
        _ g: GroupNormSizes, _ x: Elements, scale: Elements, shift: Elements, mean: Elements, rstd: Elements, dy: Elements, dx: Elements,
        dscale: Elements?, dshift: Elements?
    ) {
        var loans = Loans(self)
        let scale = weight(scale, g.channels, as: .float32).floats, shift = weight(shift, g.channels, as: .float32).floats
        let dy = loans.operand(dy, g.batch * g.pixels * g.channels, as: x.type)
        ccuda_group_norm_backward(
            context, x.type.code, g.batch, g.pixels, g.channels, g.groups, g.appliesSiLU, x.address, scale, shift, mean.floats, rstd.floats, dy, dx.address,
            dscale?.floats, dshift?.floats)
    }

    // MARK: Moving elements

    public func copyRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int) {
        ccuda_copy_rows(context, x.type.width, rows, n, x.address, xRow, y.address, yRow)
    }

    public func addRows(_ rows: Int, _ n: Int, _ x: Elements, _ xRow: Int, _ y: Elements, _ yRow: Int) {
        guard rows > 0, n > 0 else { return }
        isWritten(y)
        var loans = Loans(self)
        ccuda_add_rows(context, y.type.code, rows, n, loans.operand(x, (rows - 1) * xRow + n, as: y.type), xRow, y.address, yRow)
    }

    public func transpose(_ shape: [Int], _ axes: [Int], _ x: Elements, _ y: Elements) {
        ccuda_transpose(context, x.type.width, Int32(shape.count), shape, axes.map(Int32.init), x.address, y.address)
    }

    public func gatherRows(_ n: Int, _ table: Elements, _ indices: [Int], _ y: Elements) {
        var loans = Loans(self)
        let places = loans.upload(indices.map(Int64.init)).assumingMemoryBound(to: Int64.self)
        ccuda_gather_rows(context, y.type.code, indices.count, n, table.address, table.type.code, places, y.address)
    }

    public func scatterAddRows(_ n: Int, _ x: Elements, _ indices: [Int], _ table: Elements) {
        isWritten(table)
        var loans = Loans(self)
        let places = loans.upload(indices.map(Int64.init)).assumingMemoryBound(to: Int64.self)
        ccuda_scatter_add_rows(context, x.type.code, indices.count, n, x.address, places, table.floats)
    }

    public func upsample2(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, _ x: Elements, _ y: Elements) {
        ccuda_upsample2(context, x.type.code, batch, height, width, channels, x.address, y.address)
    }

    public func upsample2Backward(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, dy: Elements, dx: Elements) {
        ccuda_upsample2_backward(context, dy.type.code, batch, height, width, channels, dy.address, dx.address)
    }

    // MARK: Training

    public func clip(_ parts: [ElementRun], norm: Elements, limit: Float) {
        for part in parts { isWritten(part.start) }
        ccuda_clip(context, parts.count, parts.map { ccuda_run(start: $0.start.floats, count: $0.count) }, norm.floats, limit)
    }

    public func adamW(_ n: Int, _ step: AdamWStep, gradient: Elements, weight: Elements, mean: Elements, square: Elements) {
        var loans = Loans(self)
        let mirror = memory.copies.find(weight.address, .bfloat16, channelsLast: false)
        memory.copies.forget(weight.address, but: mirror)
        ccuda_adamw(
            context, n, weight.floats, loans.operand(gradient, n, as: .float32).floats, mean.floats, square.floats, mirror, step.learningRate, step.beta1,
            step.beta2, step.epsilon, step.weightDecay, step.step, 1, nil)
    }
}
