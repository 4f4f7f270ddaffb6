import CCompute
import Foundation
import Testing

extension CComputeTests {
    @Suite("Attention") struct Attention {
        /// One attention with gradients in double; arrays have the strides of `a`.
        struct Reference {
            var out: [Double], lse: [Double], dq: [Double], dk: [Double], dv: [Double]

            init(_ a: cc_attention, lengths: [Int]?, q: [Float], k: [Float], v: [Float], dout: [Float]) {
                out = dout.map { _ in 0 }
                lse = []
                dq = q.map { _ in 0 }
                dk = k.map { _ in 0 }
                dv = v.map { _ in 0 }
                let D = a.width, scale = Double(a.scale)
                for b in 0..<a.batch { for h in 0..<a.heads { for i in 0..<a.queries {
                    let qAt = (b * a.queries + i) * a.qRow + h * D, oAt = (b * a.queries + i) * a.outRow + h * D
                    var visible = min(lengths?[b] ?? a.keys, a.keys)
                    if a.causal { visible = max(0, min(visible, i + a.causalOffset + 1)) }
                    func keyAt(_ j: Int) -> Int { (b * a.keys + j) * a.kvRow + h * D }
                    let scores = (0..<visible).map { j in scale * (0..<D).reduce(0.0) { $0 + Double(q[qAt + $1]) * Double(k[keyAt(j) + $1]) } }
                    guard let largest = scores.max() else { lse.append(-.infinity); continue }
                    let total = scores.reduce(0) { $0 + exp($1 - largest) }, p = scores.map { exp($0 - largest) / total }
                    lse.append(largest + log(total))
                    let dp = (0..<visible).map { j in (0..<D).reduce(0.0) { $0 + Double(dout[oAt + $1]) * Double(v[keyAt(j) + $1]) } }
                    let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
                    for j in 0..<visible { for d in 0..<D {
                        let ds = scale * p[j] * (dp[j] - mean)
                        out[oAt + d] += p[j] * Double(v[keyAt(j) + d])
                        dq[qAt + d] += ds * Double(k[keyAt(j) + d])
                        dk[keyAt(j) + d] += ds * Double(q[qAt + d])
                        dv[keyAt(j) + d] += p[j] * Double(dout[oAt + d])
                    } }
                } } }
            }
        }

        @Test("agrees with the formula in double, with and without masks", arguments: 0..<60)
        func agrees(seed: Int) {
            var numbers = TestNumbers(UInt64(seed) + 31)
            let batch = numbers.integer(0...2), heads = numbers.integer(1...3), width = [1, 5, 8, 16, 24, 40, 64, 80][numbers.integer(0...7)]
            let queries = [0, 1, 3, 64, 65, 130][numbers.integer(0...5)], keys = [0, 1, 5, 77, 128, 129, 200][numbers.integer(0...6)]
            let lengths = numbers.bool() ? (0..<max(batch, 1)).map { _ in numbers.integer(0...keys + 2) } : nil
            // Rows are contiguous, or every one of them is followed by others' values (q, k and v in one matrix).
            let row = heads * width * (numbers.bool() ? 1 : 3)
            let q = numbers.floats(batch * queries * row), k = numbers.floats(batch * keys * row), v = numbers.floats(batch * keys * row)
            let dout = numbers.floats(batch * queries * row)
            var a = cc_attention(batch: batch, queries: queries, keys: keys, heads: heads, width: width, qRow: row, kvRow: row, outRow: row,
                                 scale: 1 / Float(width).squareRoot(), causal: numbers.bool(), causalOffset: numbers.integer(-2...3), keyLengths: nil)
            let reference = Reference(a, lengths: lengths, q: q, k: k, v: v, dout: dout)
            onEveryInstructionSet {
                (lengths ?? []).withUnsafeBufferPointer { buffer in
                    a.keyLengths = lengths == nil ? nil : buffer.baseAddress
                    let zeros = [Float](repeating: 0, count: q.count), zeroKeys = [Float](repeating: 0, count: k.count)
                    var (out, lse) = (zeros, [Float](repeating: 0, count: batch * heads * queries))
                    var (dq, dk, dv) = (zeros, zeroKeys, zeroKeys)
                    cc_attention_forward(&a, q, k, v, &out, &lse)
                    cc_attention_backward(&a, q, k, v, out, lse, dout, &dq, &dk, &dv)
                    #expect(relativeError(out, reference.out) < sumTolerance)
                    #expect(relativeError(lse, reference.lse) < sumTolerance)
                    #expect(relativeError(dq, reference.dq, floor: 0.1) < sumTolerance)
                    #expect(relativeError(dk, reference.dk, floor: 0.1) < sumTolerance)
                    #expect(relativeError(dv, reference.dv) < sumTolerance)
                }
            }
        }

        @Test("scores of hundreds do not overflow, and a NaN is not hidden")
        func extremes() {
            var a = cc_attention(batch: 1, queries: 1, keys: 2, heads: 1, width: 1, qRow: 1, kvRow: 1, outRow: 1, scale: 1, causal: false, causalOffset: 0,
                                 keyLengths: nil)
            onEveryInstructionSet {
                var out: [Float] = [0]
                cc_attention_forward(&a, [500], [1, -1], [3, 4], &out, nil)
                #expect(out == [3])  // e^1000 : 1
                cc_attention_forward(&a, [.nan], [1, -1], [3, 4], &out, nil)
                #expect(out[0].isNaN)
            }
        }
    }
}
