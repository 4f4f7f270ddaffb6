import TensorCore
import TestSupport
import Testing

@Suite struct TensorTests {
    @Test("values come back as they were given")
    func roundTrip() {
        let x = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
        #expect(x.array == [1, 2, 3, 4, 5, 6])
        #expect(x.count == 6 && x.rank == 2 && x.dtype == .float32 && !x.requiresGradient)
        #expect(Tensor.scalar(7).item() == 7 && Tensor.scalar(7).shape == [])
        #expect(Tensor.zeros([2, 2]).array == [0, 0, 0, 0] && Tensor.ones([3]).array == [1, 1, 1] && Tensor.full(2, [1, 2]).array == [2, 2])
    }

    @Test("an empty tensor goes through every kind of op")
    func empty() {
        let x = Tensor.zeros([0, 3]).trackingGradient()
        #expect((x + x).shape == [0, 3] && x.exp().shape == [0, 3] && x.softmax().shape == [0, 3] && x.transposed([1, 0]).shape == [3, 0])
        #expect(x.sum().item() == 0 && x.sum(axis: 0).array == [0, 0, 0] && x.sum(axis: 1).shape == [0])
        #expect(x.linear(.ones([2, 3]), bias: .ones([2])).shape == [0, 2])
        #expect(Tensor.zeros([2, 0]).linear(.zeros([2, 0]), bias: Tensor([5, 6], shape: [2])).array == [5, 6, 5, 6])
        #expect(Tensor.zeros([2, 0]).matmul(.zeros([0, 3])).array == Array(repeating: 0, count: 6))
        #expect(Tensor.zeros([0, 4, 4, 2]).conv2d(.ones([3, 2, 3, 3]), bias: nil, padding: Padding(1)).shape == [0, 4, 4, 3])
        #expect(Tensor.zeros([0, 2, 2, 4]).groupNorm(groups: 2, scale: .ones([4]), shift: .ones([4]), epsilon: 1e-5).shape == [0, 2, 2, 4])
        #expect(x.layerNorm(scale: .ones([3]), shift: .ones([3]), epsilon: 1e-5).shape == [0, 3])
        #expect(Tensor.attention(.zeros([1, 0, 4]), .zeros([1, 3, 4]), .zeros([1, 3, 4]), heads: 2).shape == [1, 0, 4])
        #expect(Tensor.attention(.ones([1, 2, 4]), .zeros([1, 0, 4]), .zeros([1, 0, 4]), heads: 2).array == Array(repeating: 0, count: 8))
        #expect(Tensor.concatenated([x, Tensor.ones([1, 3])], axis: 0).array == [1, 1, 1])
        #expect(Tensor.embedding(.ones([4, 2]), [], shape: [0]).shape == [0, 2])
        let loss = (x * 2).linear(.ones([2, 3])).sum()
        #expect(gradients(of: loss, for: [x])[0].shape == [0, 3])
    }

    @Test("a tensor of one element goes through every kind of op")
    func single() {
        let x = Tensor([3], shape: [1, 1, 1, 1])
        #expect(x.conv2d(.full(2, [1, 1, 1, 1]), bias: .ones([1])).array == [7])
        // 3 × 3 around one pixel: only the middle weight meets it.
        #expect(x.conv2d(Tensor([0, 0, 0, 0, 5, 0, 0, 0, 0], shape: [1, 1, 3, 3]), bias: nil, padding: Padding(1)).array == [15])
        // One element has no variance: the shift remains.
        #expect(x.groupNorm(groups: 1, scale: .ones([1]), shift: .full(4, [1]), epsilon: 1e-5).array == [4])
        #expect(x.reshaped([1, 1]).softmax().array == [1])
        #expect(x.reshaped([1, 1]).crossEntropy([0]).item() == 0)
        #expect(x.upsampledNearest(2).array == [3, 3, 3, 3])
    }

    @Test("products and convolutions worked out by hand")
    func byHand() {
        // [1 2; 3 4] · [5 6; 7 8] = [19 22; 43 50]
        let a = Tensor([1, 2, 3, 4], shape: [2, 2]), b = Tensor([5, 6, 7, 8], shape: [2, 2])
        #expect(a.matmul(b).array == [19, 22, 43, 50])
        // [1 2; 3 4] · [5 7; 6 8] = [17 23; 39 53]
        #expect(a.matmul(b, transposed: true).array == [17, 23, 39, 53])
        #expect(a.linear(b, bias: Tensor([1, -1], shape: [2])).array == [18, 22, 40, 52])
        // 1 2 3      sums of 2 × 2: 1+2+4+5 = 12, 2+3+5+6 = 16, 4+5+7+8 = 24, 5+6+8+9 = 28
        // 4 5 6
        // 7 8 9
        let picture = Tensor([1, 2, 3, 4, 5, 6, 7, 8, 9], shape: [1, 3, 3, 1])
        #expect(picture.conv2d(.ones([1, 1, 2, 2]), bias: nil).array == [12, 16, 24, 28])
        // Stride 2 with a border of zeros: corners of the 5 × 5 see 1; 2, 3; 4, 7; 5, 6, 8, 9.
        #expect(picture.conv2d(.ones([1, 1, 2, 2]), bias: nil, stride: 2, padding: Padding(top: 1, left: 1, bottom: 0, right: 0)).array == [1, 5, 11, 28])
        #expect(Tensor.concatenated([a, b], axis: 1).array == [1, 2, 5, 6, 3, 4, 7, 8])
        #expect(a.transposed([1, 0]).array == [1, 3, 2, 4])
        #expect(a.sliced(axis: 1, from: 1, to: 2).array == [2, 4])
    }

    @Test("attention to two equal keys is the mean of their values")
    func attentionByHand() {
        let y = Tensor.attention(.ones([1, 1, 2]), .ones([1, 2, 2]), Tensor([1, 2, 3, 6], shape: [1, 2, 2]), heads: 1)
        #expect(y.array == [2, 4])
    }

    @Test("half precision rounds to nearest even and keeps what it can hold")
    func halves() {
        // 1 + 2⁻¹¹ lies between 1 and 1 + 2⁻¹⁰: even is 1. 65520 rounds to infinity, 6e-8 to the smallest subnormal.
        let x = Tensor([1, -2.5, 1 + 0x1p-11, 1 + 3 * 0x1p-11, 65504, 65520, 5.9604645e-8, .infinity], shape: [8])
        #expect(x.converted(to: .float16).array == [1, -2.5, 1, 1 + 0x1p-9, 65504, .infinity, 5.9604645e-8, .infinity])
        let y = Tensor([1, -2.5, 1 + 0x1p-8, 1 + 3 * 0x1p-8, 3e38], shape: [5])
        #expect(y.converted(to: .bfloat16).array == [1, -2.5, 1, 1 + 0x1p-6, 0x1.c4p127])
        #expect(Tensor([.nan], shape: [1]).converted(to: .bfloat16).array[0].isNaN && Tensor([.nan], shape: [1]).converted(to: .float16).array[0].isNaN)
        #expect(y.converted(to: .bfloat16).converted(to: .float16).array == [1, -2.5, 1, 1 + 0x1p-6, .infinity])
    }

    @Test("rows in parts give the same numbers as all at once, and gradients where they are asked for", arguments: [1, 3, 7, 100])
    func mapRows(_ rows: Int) {
        let x = Tensor.testNormal([2, 5, 6], seed: 1), w = Tensor.testNormal([8, 6], seed: 2).trackingGradient()
        var parts: [Int] = []
        func body(_ t: Tensor) -> Tensor { parts.append(t.shape[0]); return t.linear(w).geglu() }
        let whole = x.linear(w).geglu()
        let part = withoutGradients { x.mapRows(atMost: rows, body) }
        expectClose(part, whole)
        #expect(part.shape == [2, 5, 4] && parts.reduce(0, +) == 10 && parts.allSatisfy { $0 <= rows })
        let recorded = x.mapRows(atMost: rows, body)
        #expect(parts.last == 10)
        expectClose(gradients(of: recorded.sum(), for: [w])[0], gradients(of: whole.sum(), for: [w])[0])
    }

    @Test("frozen weights in 16 bits act as their float32 values", arguments: [DType.float16, .bfloat16])
    func halfWeights(_ dtype: DType) {
        let x = Tensor.testNormal([1, 6, 6, 8], seed: 1).trackingGradient()
        let weight = Tensor.testNormal([16, 8, 3, 3], seed: 2).converted(to: dtype), bias = Tensor.testNormal([16], seed: 3).converted(to: dtype)
        let matrix = Tensor.testNormal([12, 8], seed: 4).converted(to: dtype), table = Tensor.testNormal([5, 8], seed: 5).converted(to: dtype)
        func wide(_ t: Tensor) -> Tensor { t.converted(to: .float32) }
        let pairs = [
            (x.conv2d(weight, bias: bias, padding: Padding(1)), x.conv2d(wide(weight), bias: wide(bias), padding: Padding(1))),
            (x.linear(matrix), x.linear(wide(matrix))),
        ]
        for (half, full) in pairs {
            expectClose(half, full)
            let seed = Tensor.testNormal(half.shape, seed: 6)
            expectClose(gradients(of: half, seed: seed, for: [x])[0], gradients(of: full, seed: seed, for: [x])[0])
        }
        #expect(Tensor.embedding(table, [4, 0], shape: [2]).array == Tensor.embedding(wide(table), [4, 0], shape: [2]).array)
    }

    @Test("large sums keep their digits")
    func longSums() {
        // 2²² times 0.1: a running float32 sum would be off by a percent.
        let n = 1 << 22
        #expect(abs(Double(Tensor.full(0.1, [n]).sum().item()) / (Double(Float(0.1)) * Double(n)) - 1) < 1e-6)
        #expect(abs(Tensor.full(0.1, [n / 4, 4]).mean(axis: 0).array[2] - 0.1) < 1e-6)
    }
}
