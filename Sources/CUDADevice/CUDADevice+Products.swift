import CCUDA
import TensorCore

extension CUDADevice {
    public func gemm(_ p: MatrixProduct, _ a: Elements, _ b: Elements, bias: Elements?, addend: Elements?, _ c: Elements) {
        guard p.m > 0, p.n > 0 else { return }
        guard p.k > 0 else { return addWithoutProduct(p, bias: bias, addend: addend, c) }
        var loans = Loans(self)
        let type = operandType(a.type, b.type, c.type), bCount = p.transposesB ? (p.n - 1) * p.rowB + p.k : (p.k - 1) * p.rowB + p.n
        let a = loans.operand(a, p.transposesA ? (p.k - 1) * p.rowA + p.m : (p.m - 1) * p.rowA + p.k, as: type)
        // The right operand of a product whose left one is not turned is a weight.
        let b = p.transposesA ? loans.operand(b, bCount, as: type) : weight(b, bCount, as: type)
        let added = loans.operand(addend, (p.m - 1) * p.rowC + p.n, as: c.type)
        var product = form(p, type, c.type)
        if added != nil { product.beta = 1 }
        ccuda_multiply(context, &product, a, b, added ?? (p.beta == 0 ? nil : c.address), c.address, weight(bias, p.n, as: c.type))
    }

    public func gemmBatched(
        _ count: Int, _ p: MatrixProduct, _ a: Elements, _ strideA: Int, _ b: Elements, _ strideB: Int, _ c: Elements, _ strideC: Int
    ) {
        guard count > 0, p.m > 0, p.n > 0 else { return }
        guard p.k > 0 else { return fill((count - 1) * strideC + p.m * p.n, 0, c) }
        var loans = Loans(self)
        let type = operandType(a.type, b.type, c.type)
        let a = loans.operand(a, (count - 1) * strideA + (p.transposesA ? (p.k - 1) * p.rowA + p.m : (p.m - 1) * p.rowA + p.k), as: type)
        let b = loans.operand(b, (count - 1) * strideB + (p.transposesB ? (p.n - 1) * p.rowB + p.k : (p.k - 1) * p.rowB + p.n), as: type)
        var product = form(p, type, c.type)
        (product.count, product.strideA, product.strideB, product.strideC, product.strideD) = (count, strideA, strideB, strideC, strideC)
        ccuda_multiply(context, &product, a, b, p.beta == 0 ? nil : c.address, c.address, nil)
    }

    /// float32 where everything is or should be; else the matrix units' type.
    private func operandType(_ a: DType, _ b: DType, _ result: DType) -> DType {
        let isWide = result == .float32 && (precision == .float32 || (a == .float32 && b == .float32))
        return isWide ? .float32 : .bfloat16
    }

    private func form(_ p: MatrixProduct, _ operands: DType, _ result: DType) -> ccuda_product {
        ccuda_product(
            transA: p.transposesA, transB: p.transposesB, operands: operands.code, result: result.code, M: p.m, N: p.n, K: p.k, lda: p.rowA, ldb: p.rowB,
            ldc: p.rowC, ldd: p.rowC, count: 1, strideA: 0, strideB: 0, strideC: 0, strideD: 0, alpha: p.alpha, beta: p.beta)
    }

    /// What is left of a product over nothing.
    private func addWithoutProduct(_ p: MatrixProduct, bias: Elements?, addend: Elements?, _ c: Elements) {
        fill((p.m - 1) * p.rowC + p.n, 0, c)
        if let addend { axpy((p.m - 1) * p.rowC + p.n, 1, addend, c) }
        if let bias { ccuda_add_bias(context, c.type.code, p.m, p.m, p.n, c.address, weight(bias, p.n, as: c.type), nil, nil, c.address) }
    }

    // MARK: Convolution

    public func conv2dForward(_ c: ConvolutionSizes, _ x: Elements, _ w: Elements, bias: Elements?, _ y: Elements) {
        var form = c.form(y.type), loans = Loans(self)
        let pixels = c.batch * c.outHeight * c.outWidth
        guard pixels > 0, c.outChannels > 0 else { return }
        ccuda_convolve(context, &form, loans.operand(x, c.inputCount, as: y.type), kernel(w, c, as: y.type), y.address)
        guard let bias else { return }
        ccuda_add_bias(context, y.type.code, pixels, pixels, c.outChannels, y.address, weight(bias, c.outChannels, as: y.type), nil, nil, y.address)
    }

    public func conv2dBackwardInput(_ c: ConvolutionSizes, _ w: Elements, dy: Elements, dx: Elements) {
        var form = c.form(dx.type), loans = Loans(self)
        ccuda_convolve_backward_input(context, &form, kernel(w, c, as: dx.type), loans.operand(dy, c.outputCount, as: dx.type), dx.address)
    }

    public func conv2dBackwardWeight(_ c: ConvolutionSizes, _ x: Elements, dy: Elements, dw: Elements, dbias: Elements?) {
        var form = c.form(x.type), loans = Loans(self)
        let count = c.outChannels * c.channels * c.kernelHeight * c.kernelWidth
        let turned = Elements(loans.block(count * x.type.byteSize), x.type), straight = Elements(loans.block(count * x.type.byteSize), x.type)
        ccuda_convolve_backward_weight(context, &form, x.address, loans.operand(dy, c.outputCount, as: x.type), turned.address)
        transpose([c.outChannels, c.kernelHeight, c.kernelWidth, c.channels], [0, 3, 1, 2], turned, straight)
        convert(count, straight, dw)
        if let dbias { sumAxis(1, c.batch * c.outHeight * c.outWidth, c.outChannels, dy, dbias) }
    }

    public func depthwiseConv2d(_ c: DepthwiseSizes, _ x: Elements, taps: Elements, shift: Elements, _ y: Elements) {
        var loans = Loans(self)
        let count = c.batch * c.height * c.width * c.channels, sums = y.type == .float32 ? y : Elements(loans.block(4 * count), .float32)
        let x = loans.operand(x, count, as: .float32), taps = weight(taps, c.kernel * c.kernel * c.channels, as: .float32)
        ccuda_depthwise(context, c.batch, c.height, c.width, c.channels, c.kernel, x.floats, taps.floats, weight(shift, c.channels, as: .float32).floats, sums.floats)
        if y.type != .float32 { convert(count, sums, y) }
    }

    // MARK: Attention

    public func attentionForward(_ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements) {
        var loans = Loans(self)
        var form = a.form(q.type, keyLengths: a.keyLengths.map { loans.upload($0.map(Int32.init)) })
        let k = loans.operand(k, a.keyCount, as: q.type), v = loans.operand(v, a.keyCount, as: q.type)
        if ccuda_fused_attention(context, &form, q.address, k, v, out.address, lse.floats) { return }
        ccuda_plain_attention(context, &form, q.address, k, v, out.address, lse.floats)
    }

    public func attentionBackward(
        _ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements, dout: Elements, dq: Elements, dk: Elements, dv: Elements
    ) {
        var loans = Loans(self)
        var form = a.form(q.type, keyLengths: a.keyLengths.map { loans.upload($0.map(Int32.init)) })
        let k = loans.operand(k, a.keyCount, as: q.type), v = loans.operand(v, a.keyCount, as: q.type)
        let dout = loans.operand(dout, a.batch * a.queries * a.heads * a.width, as: q.type)
        let dkHere = dk.type == q.type ? dk : Elements(loans.block(a.keyCount * q.type.byteSize), q.type)
        let dvHere = dv.type == q.type ? dv : Elements(loans.block(a.keyCount * q.type.byteSize), q.type)
        if !ccuda_fused_attention_backward(context, &form, q.address, k, v, out.address, lse.floats, dout, dq.address, dkHere.address, dvHere.address) {
            ccuda_plain_attention_backward(context, &form, q.address, k, v, out.address, lse.floats, dout, dq.address, dkHere.address, dvHere.address)
        }
        if dk.type != q.type { convert(a.keyCount, dkHere, dk) }
        if dv.type != q.type { convert(a.keyCount, dvHere, dv) }
    }
}

extension ConvolutionSizes {
    fileprivate var inputCount: Int { batch * height * width * channels }
    fileprivate var outputCount: Int { batch * outHeight * outWidth * outChannels }

    fileprivate func form(_ type: DType) -> ccuda_conv {
        ccuda_conv(
            type: type.code, batch: batch, height: height, width: width, channels: channels, outChannels: outChannels, kernelHeight: kernelHeight,
            kernelWidth: kernelWidth, stride: stride, padTop: padding.top, padLeft: padding.left, padBottom: padding.bottom, padRight: padding.right)
    }
}

extension AttentionSizes {
    fileprivate var keyCount: Int { batch * keys * heads * width }

    fileprivate func form(_ type: DType, keyLengths: UnsafeMutableRawPointer?) -> ccuda_attention {
        let row = heads * width
        return ccuda_attention(
            type: type.code, batch: batch, queries: queries, keys: keys, heads: heads, width: width, qRow: row, kvRow: row, outRow: row, scale: scale,
            causal: causalOffset != nil, causalOffset: causalOffset ?? 0, keyLengths: keyLengths.map { UnsafePointer($0.assumingMemoryBound(to: Int32.self)) })
    }
}
