import CCUDA
import CCompute
import EmulatedCUDA
import Testing

extension CCUDATests {
    @Suite("Products, convolutions, attention") struct Plans {
        static let types = [(CCUDA_F32, CCUDA_F32), (CCUDA_BF16, CCUDA_BF16), (CCUDA_BF16, CCUDA_F32)]

        @Test("products agree with CCompute's in every form", arguments: types, [false, true])
        func products(types: (ccuda_type, ccuda_type), tuning: Bool) throws {
            try withCard { card in
                ccuda_set_tuning(card, tuning)
                for form in 0..<16 {
                    let (transA, transB, hasBias, hasAddend) = (form & 1 != 0, form & 2 != 0, form & 4 != 0, form & 8 != 0)
                    let (M, N, K, count) = (5, 7, 3, form % 3 + 1)
                    let a = numbers(count * M * K, types.0, seed: 1), b = numbers(count * K * N, types.0, seed: 2)
                    let bias = numbers(N, types.1, seed: 3), addend = numbers(count * M * N, types.1, seed: 4)
                    var expected = [Float](repeating: 0, count: count * M * N)
                    let (lda, ldb) = (transA ? M : K, transB ? K : N)
                    for i in 0..<count {
                        let a = Array(a[(i * M * K)...]), b = Array(b[(i * K * N)...]), addend = Array(addend[(i * M * N)...])
                        var y = [Float](repeating: 0, count: M * N)
                        cc_gemm(transA, transB, M, N, K, 0.5, a, lda, b, CC_F32, ldb, 0, &y, N, hasBias ? bias : nil, hasAddend ? addend : nil)
                        expected.replaceSubrange(i * M * N..<(i + 1) * M * N, with: y)
                    }
                    var product = ccuda_product(
                        transA: transA, transB: transB, operands: types.0, result: types.1, M: M, N: N, K: K, lda: lda, ldb: ldb, ldc: N, ldd: N,
                        count: count, strideA: M * K, strideB: K * N, strideC: M * N, strideD: M * N, alpha: 0.5, beta: hasAddend ? 1 : 0)
                    let A = CardArray(card, types.0, a), B = CardArray(card, types.0, b), biasThere = CardArray(card, types.1, bias)
                    let C = CardArray(card, types.1, addend), D = CardArray(card, types.1, count: count * M * N)
                    ccuda_multiply(card, &product, A.address, B.address, C.address, D.address, hasBias ? biasThere.address : nil)
                    #expect(relativeError(D.values, expected) <= tolerance(types.1), "form \(form)")
                    // In place, the plan known.
                    ccuda_multiply(card, &product, A.address, B.address, C.address, C.address, hasBias ? biasThere.address : nil)
                    #expect(relativeError(C.values, expected) <= tolerance(types.1), "form \(form)")
                }
                #expect(failure(card) == nil)
            }
        }

        @Test("what cuBLASLt refuses is told with the shape")
        func refusedProduct() throws {
            try withCard { card in
                let x = CardArray(card, CCUDA_F32, [1])
                var product = ccuda_product(
                    transA: false, transB: false, operands: CCUDA_F32, result: CCUDA_BF16, M: 1, N: 1, K: 1, lda: 1, ldb: 1, ldc: 1, ldd: 1, count: 1,
                    strideA: 0, strideB: 0, strideC: 0, strideD: 0, alpha: 1, beta: 0)
                ccuda_multiply(card, &product, x.address, x.address, nil, x.address, nil)
                #expect(failure(card) == CCUDA_LIBRARY && text(ccuda_failure(card)!.pointee).contains("[1, 1] · [1, 1]"))
            }
        }

        /// Kernels in the card's order, `[Cout, kH, kW, Cin]`, from a checkpoint's, or back.
        static func reordered(_ w: [Float], _ c: cc_conv, toCard: Bool) -> [Float] {
            let area = c.kernelHeight * c.kernelWidth
            var result = w
            for o in 0..<c.outChannels {
                for i in 0..<c.channels {
                    for k in 0..<area {
                        let checkpoint = (o * c.channels + i) * area + k, card = (o * area + k) * c.channels + i
                        if toCard { result[card] = w[checkpoint] } else { result[checkpoint] = w[card] }
                    }
                }
            }
            return result
        }

        @Test("convolutions and both their gradients agree with CCompute's",
              arguments: [CCUDA_F32, CCUDA_BF16], [(1, 3, 1, 1), (2, 3, 0, 1), (1, 1, 0, 0), (2, 3, 1, 1)])
        func convolutions(type: ccuda_type, form: (stride: Int, kernel: Int, before: Int, after: Int)) throws {
            try withCard { card in
                ccuda_set_tuning(card, true)
                let (kernel, stride, before, after) = (form.kernel, form.stride, form.before, form.after)
                var host = cc_conv(
                    batch: 2, height: 7, width: 6, channels: 3, outChannels: 5, kernelHeight: kernel, kernelWidth: kernel, stride: stride,
                    padTop: before, padLeft: before, padBottom: after, padRight: after, weightType: CC_F32, tight: true)
                var shape = ccuda_conv(
                    type: type, batch: 2, height: 7, width: 6, channels: 3, outChannels: 5, kernelHeight: kernel, kernelWidth: kernel, stride: stride,
                    padTop: before, padLeft: before, padBottom: after, padRight: after)
                let outCount = 2 * cc_conv_out_height(&host) * cc_conv_out_width(&host) * 5
                let x = numbers(2 * 7 * 6 * 3, type, seed: 1), w = numbers(5 * 3 * kernel * kernel, type, seed: 2)
                let dy = numbers(outCount, type, seed: 3)
                var y = [Float](repeating: 0, count: outCount), dx = x, dw = w
                cc_conv2d_forward(&host, x, w, nil, nil, &y)
                cc_conv2d_backward_input(&host, w, dy, &dx, false)
                cc_conv2d_backward_weight(&host, x, dy, &dw, nil, false)
                let X = CardArray(card, type, x), W = CardArray(card, type, Self.reordered(w, host, toCard: true)), DY = CardArray(card, type, dy)
                let Y = CardArray(card, type, count: y.count), DX = CardArray(card, type, count: x.count), DW = CardArray(card, type, count: w.count)
                for _ in 0..<2 {  // the plan new, then known
                    ccuda_convolve(card, &shape, X.address, W.address, Y.address)
                    ccuda_convolve_backward_input(card, &shape, W.address, DY.address, DX.address)
                    ccuda_convolve_backward_weight(card, &shape, X.address, DY.address, DW.address)
                    #expect(relativeError(Y.values, y) <= tolerance(type) && relativeError(DX.values, dx) <= tolerance(type))
                    #expect(relativeError(Self.reordered(DW.values, host, toCard: false), dw) <= tolerance(type))
                }
                #expect(failure(card) == nil)
            }
        }

        @Test("cuDNN's attention, and its gradients as a graph, agree with CCompute's; rows may be apart",
              arguments: [(9, 9, 8), (5, 13, 16)], [0, 8])
        func attention(size: (queries: Int, keys: Int, width: Int), gap: Int) throws {
            try withCard { card in
                let heads = 3, row = heads * size.width, kvRow = row + gap, scale = 1 / Float(size.width).squareRoot()
                let (queries, keys, width) = size
                var host = cc_attention(
                    batch: 2, queries: queries, keys: keys, heads: heads, width: width, qRow: row, kvRow: kvRow, outRow: row, scale: scale,
                    causal: false, causalOffset: 0, keyLengths: nil)
                var shape = ccuda_attention(
                    type: CCUDA_BF16, batch: 2, queries: queries, keys: keys, heads: heads, width: width, qRow: row, kvRow: kvRow, outRow: row,
                    scale: scale, causal: false, causalOffset: 0, keyLengths: nil)
                let q = numbers(2 * size.queries * row, CCUDA_BF16, seed: 1), k = numbers(2 * size.keys * kvRow, CCUDA_BF16, seed: 2)
                let v = numbers(2 * size.keys * kvRow, CCUDA_BF16, seed: 3), dout = numbers(q.count, CCUDA_BF16, seed: 4)
                var out = q, lse = [Float](repeating: 0, count: 2 * heads * size.queries), dq = q, dk = k, dv = v
                cc_attention_forward(&host, q, k, v, &out, &lse)
                cc_attention_backward(&host, q, k, v, out, lse, dout, &dq, &dk, &dv)
                let Q = CardArray(card, CCUDA_BF16, q), K = CardArray(card, CCUDA_BF16, k), V = CardArray(card, CCUDA_BF16, v)
                let DOUT = CardArray(card, CCUDA_BF16, dout)
                let OUT = CardArray(card, CCUDA_BF16, count: q.count), LSE = CardArray(card, CCUDA_F32, count: lse.count)
                let DQ = CardArray(card, CCUDA_BF16, count: q.count), DK = CardArray(card, CCUDA_BF16, k), DV = CardArray(card, CCUDA_BF16, v)
                let lseThere = LSE.address?.assumingMemoryBound(to: Float.self)
                #expect(ccuda_fused_attention(card, &shape, Q.address, K.address, V.address, OUT.address, lseThere))
                let taken = ccuda_fused_attention_backward(
                    card, &shape, Q.address, K.address, V.address, OUT.address, lseThere, DOUT.address, DQ.address, DK.address, DV.address)
                #expect(taken)
                #expect(relativeError(OUT.values, out) <= 1e-2 && relativeError(LSE.values, lse) <= 1e-5)
                #expect(relativeError(DQ.values, dq) <= 1e-2 && relativeError(DK.values, dk) <= 1e-2 && relativeError(DV.values, dv) <= 1e-2)
                #expect(failure(card) == nil)
            }
        }

        @Test("attention that cuDNN does not take is left to a kernel: float32, masks, odd widths, odd addresses, no plan")
        func notTaken() throws {
            try withCard { card in
                let x = CardArray(card, CCUDA_BF16, count: 64), lse = CardArray(card, CCUDA_F32, count: 8)
                func taken(type: ccuda_type = CCUDA_BF16, width: Int = 8, causal: Bool = false, offset: Int = 0) -> Bool {
                    var shape = ccuda_attention(
                        type: type, batch: 1, queries: 2, keys: 2, heads: 1, width: width, qRow: width, kvRow: width, outRow: width, scale: 1,
                        causal: causal, causalOffset: 0, keyLengths: nil)
                    let lse = lse.address?.assumingMemoryBound(to: Float.self)
                    return ccuda_fused_attention(card, &shape, x.address! + offset, x.address, x.address, x.address, lse)
                }
                #expect(!taken(type: CCUDA_F32) && !taken(width: 20) && !taken(causal: true) && !taken(offset: 2))
                emulated_fail("cudnnBackendFinalize", 3000, 0)
                #expect(!taken() && !taken() && failure(card) == nil)  // that there is no plan is remembered
                #expect(taken(width: 16))
            }
        }
    }
}
