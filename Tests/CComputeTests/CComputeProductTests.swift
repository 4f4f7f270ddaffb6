import CCompute
import Testing

extension CComputeTests {
    @Suite("Matrix products") struct Products {
        /// `alpha · op(A) op(B) + beta · C + bias + addend` in double.
        static func reference(
            _ transA: Bool, _ transB: Bool, _ M: Int, _ N: Int, _ K: Int, _ alpha: Float, _ a: [Float], _ lda: Int, _ b: [Float], _ ldb: Int,
            _ beta: Float, _ c: [Float], _ ldc: Int, _ bias: [Float]?, _ addend: [Float]?
        ) -> [Double] {
            var result = c.map(Double.init)
            for i in 0..<M {
                for j in 0..<N {
                    var sum = 0.0
                    for k in 0..<K { sum += Double(transA ? a[k * lda + i] : a[i * lda + k]) * Double(transB ? b[j * ldb + k] : b[k * ldb + j]) }
                    result[i * ldc + j] = Double(alpha) * sum + (beta == 0 ? 0 : Double(beta) * Double(c[i * ldc + j])) + Double(bias?[j] ?? 0) + Double(addend?[i * ldc + j] ?? 0)
                }
            }
            return result
        }

        @Test("agree with sums in double, whatever the shape, the layout and the number format", arguments: 0..<60)
        func agree(seed: Int) {
            var numbers = TestNumbers(UInt64(seed))
            let sizes = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 48, 64, 100, 256, 257, 300]
            let (M, N, K) = (sizes[numbers.integer(0...16)], sizes[numbers.integer(0...16)], sizes[numbers.integer(0...16)])
            let (transA, transB) = (numbers.bool(), numbers.bool())
            let (lda, ldb, ldc) = ((transA ? M : K) + numbers.integer(0...3), (transB ? K : N) + numbers.integer(0...3), N + numbers.integer(0...3))
            let a = numbers.floats((transA ? K : M) * lda), b = numbers.floats((transB ? N : K) * ldb), c = numbers.floats(M * ldc)
            let bias = numbers.bool() ? numbers.floats(N) : nil, addend = numbers.bool() ? numbers.floats(M * ldc) : nil
            let alpha: Float = numbers.bool() ? 1 : 0.7, beta: Float = [0, 1, -0.5][numbers.integer(0...2)]
            onEveryInstructionSet {
                for type in [CC_F32, CC_F16, CC_BF16] {
                    var stored = [UInt16](repeating: 0, count: b.count * 2), widened = b, result = c
                    cc_convert(b.count, b, CC_F32, &stored, type)
                    cc_convert(b.count, stored, type, &widened, CC_F32)
                    cc_gemm(transA, transB, M, N, K, alpha, a, lda, stored, type, ldb, beta, &result, ldc, bias, addend)
                    let expected = Self.reference(transA, transB, M, N, K, alpha, a, lda, widened, ldb, beta, c, ldc, bias, addend)
                    #expect(relativeError(result, expected) < sumTolerance, "\(M)×\(N)×\(K) \(transA) \(transB) \(type)")
                }
            }
        }

        @Test("many at once, with shared operands", arguments: [(0, 3), (1, 3), (5, 0), (4, 700)])
        func batched(count: Int, strideB: Int) {
            var numbers = TestNumbers(7)
            let (M, N, K) = (19, 20, 33)
            let a = numbers.floats(max(count, 1) * M * K), b = numbers.floats(max(count, 1) * 700 + N * K), c = numbers.floats(max(count, 1) * M * N)
            onEveryInstructionSet {
                var result = c
                cc_gemm_batched(count, false, true, M, N, K, 2, a, K, M * K, b, K, strideB, 0, &result, N, M * N)
                var expected = c.map(Double.init)
                for i in 0..<count {
                    let part = Self.reference(false, true, M, N, K, 2, Array(a[(i * M * K)...]), K, Array(b[(i * strideB)...]), K, 0, [Float](repeating: 0, count: M * N), N, nil, nil)
                    expected.replaceSubrange(i * M * N..<(i + 1) * M * N, with: part)
                }
                #expect(relativeError(result, expected) < sumTolerance)
            }
        }

        @Test("with beta zero, what C held before does not matter")
        func overwritesNaN() {
            var c: [Float] = [.nan, .nan]
            cc_gemm(false, false, 1, 2, 1, 1, [3], 1, [1, 2] as [Float], CC_F32, 2, 0, &c, 2, nil, nil)
            #expect(c == [3, 6])
        }

        @Test("same bits for one thread and for four")
        func independentOfThreads() {
            var numbers = TestNumbers(3)
            let (M, N, K) = (131, 90, 700)
            let a = numbers.floats(M * K), b = numbers.floats(N * K)
            var one = [Float](repeating: 0, count: M * N), four = one
            let threads = cc_threads()
            defer { cc_set_threads(threads) }
            cc_set_threads(1)
            cc_gemm(false, true, M, N, K, 1, a, K, b, CC_F32, K, 0, &one, N, nil, nil)
            cc_set_threads(4)
            cc_gemm(false, true, M, N, K, 1, a, K, b, CC_F32, K, 0, &four, N, nil, nil)
            #expect(one == four)
        }
    }
}
