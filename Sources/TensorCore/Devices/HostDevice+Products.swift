import CCompute

extension HostDevice {
    public func gemm(_ p: MatrixProduct, _ a: Elements, _ b: Elements, bias: Elements?, addend: Elements?, _ c: Elements) {
        bias.widened(p.n) { bias in
            cc_gemm(p.transposesA, p.transposesB, p.m, p.n, p.k, p.alpha, a.floats, p.rowA, b.address, b.type.code, p.rowB, p.beta, c.floats, p.rowC,
                    bias, addend?.floats)
        }
    }

    public func gemmBatched(
        _ count: Int, _ p: MatrixProduct, _ a: Elements, _ strideA: Int, _ b: Elements, _ strideB: Int, _ c: Elements, _ strideC: Int
    ) {
        cc_gemm_batched(count, p.transposesA, p.transposesB, p.m, p.n, p.k, p.alpha, a.floats, p.rowA, strideA, b.floats, p.rowB, strideB,
                        p.beta, c.floats, p.rowC, strideC)
    }

    // MARK: Convolution

    public func conv2dForward(_ c: ConvolutionSizes, _ x: Elements, _ w: Elements, bias: Elements?, _ y: Elements) {
        var form = c.form(w.type)
        bias.widened(c.outChannels) { bias in cc_conv2d_forward(&form, x.floats, w.address, bias, nil, y.floats) }
    }

    public func conv2dBackwardInput(_ c: ConvolutionSizes, _ w: Elements, dy: Elements, dx: Elements) {
        var form = c.form(w.type)
        cc_conv2d_backward_input(&form, w.address, dy.floats, dx.floats, false)
    }

    public func conv2dBackwardWeight(_ c: ConvolutionSizes, _ x: Elements, dy: Elements, dw: Elements, dbias: Elements?) {
        var form = c.form(dw.type)
        cc_conv2d_backward_weight(&form, x.floats, dy.floats, dw.floats, dbias?.floats, false)
    }

    public func depthwiseConv2d(_ c: DepthwiseSizes, _ x: Elements, taps: Elements, shift: Elements, _ y: Elements) {
        let (source, taps, shift, target) = (x.floats, taps.floats, shift.floats, y.floats), reach = c.kernel / 2
        for row in 0..<(c.batch * c.height) {
            let line = row % c.height, top = max(0, line - reach), bottom = min(c.height - 1, line + reach)
            for column in 0..<c.width {
                let sums = target + (row * c.width + column) * c.channels
                sums.update(from: shift, count: c.channels)
                for j in top...bottom {
                    for i in max(0, column - reach)...min(c.width - 1, column + reach) {
                        let from = source + ((row - line + j) * c.width + i) * c.channels
                        let tap = taps + ((j - line + reach) * c.kernel + i - column + reach) * c.channels
                        for channel in 0..<c.channels { sums[channel] += from[channel] * tap[channel] }
                    }
                }
            }
        }
    }

    // MARK: Attention

    public func attentionForward(_ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements) {
        a.withForm { cc_attention_forward($0, q.floats, k.floats, v.floats, out.floats, lse.floats) }
    }

    public func attentionBackward(
        _ a: AttentionSizes, _ q: Elements, _ k: Elements, _ v: Elements, out: Elements, lse: Elements, dout: Elements,
        dq: Elements, dk: Elements, dv: Elements
    ) {
        a.withForm { form in
            cc_attention_backward(form, q.floats, k.floats, v.floats, out.floats, lse.floats, dout.floats, dq.floats, dk.floats, dv.floats)
        }
    }
}

extension ConvolutionSizes {
    fileprivate func form(_ weightType: DType) -> cc_conv {
        cc_conv(batch: batch, height: height, width: width, channels: channels, outChannels: outChannels,
                kernelHeight: kernelHeight, kernelWidth: kernelWidth, stride: stride,
                padTop: padding.top, padLeft: padding.left, padBottom: padding.bottom, padRight: padding.right,
                weightType: weightType.code, tight: false)
    }
}

extension AttentionSizes {
    fileprivate func withForm(_ body: (UnsafePointer<cc_attention>) -> Void) {
        let row = heads * width
        var form = cc_attention(batch: batch, queries: queries, keys: keys, heads: heads, width: width, qRow: row, kvRow: row, outRow: row,
                                scale: scale, causal: causalOffset != nil, causalOffset: causalOffset ?? 0, keyLengths: nil)
        guard let keyLengths else { return body(&form) }
        keyLengths.withUnsafeBufferPointer { lengths in
            form.keyLengths = lengths.baseAddress
            body(&form)
        }
    }
}
