import Foundation
import TensorCore
import TestSupport
import Testing

/// Every op against its definition in Double: the value, and the gradients by central differences.
@Suite struct GradientTests {
    typealias Function = (name: String, op: @Sendable (Tensor) -> Tensor, definition: @Sendable (Double) -> Double)

    static let functions: [Function] = [
        ("exp", { $0.exp() }, { Foundation.exp($0) }),
        ("square", { $0.square() }, { $0 * $0 }),
        ("absolute", { $0.absolute() }, { Swift.abs($0) }),
        ("clamped", { $0.clamped(-0.4, 0.7) }, { min(max($0, -0.4), 0.7) }),
        ("sigmoid", { $0.sigmoid() }, { 1 / (1 + Foundation.exp(-$0)) }),
        ("tanh", { $0.tanh() }, { Foundation.tanh($0) }),
        ("silu", { $0.silu() }, { $0 / (1 + Foundation.exp(-$0)) }),
        ("relu", { $0.relu() }, { max($0, 0) }),
        ("gelu", { $0.gelu() }, { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }),
        ("gelu tanh", { $0.gelu(.tanh) }, { 0.5 * $0 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }),
        ("gelu quick", { $0.gelu(.quick) }, { $0 / (1 + Foundation.exp(-1.702 * $0)) }),
        ("negation", { -$0 }, { -$0 }),
        ("number − tensor", { 3 - $0 }, { 3 - $0 }),
        ("tensor · number + number", { $0 * 2.5 + 1 }, { $0 * 2.5 + 1 }),
        ("number / tensor", { 2 / ($0 + 10) }, { 2 / ($0 + 10) }),
        ("log", { ($0.square() + 0.5).log() }, { Foundation.log($0 * $0 + 0.5) }),
        ("sqrt", { ($0.square() + 0.5).sqrt() }, { ($0 * $0 + 0.5).squareRoot() }),
    ]

    @Test("functions of one element", arguments: functions.indices)
    func elementwise(_ index: Int) {
        let f = Self.functions[index]
        expectGradient(of: { f.op($0[0]) }, at: [.testNormal([3, 19], seed: 1)], matching: { $0[0].map(f.definition) }, f.name)
    }

    static let shapes: [([Int], [Int])] = [
        ([4], [4]), ([2, 3], []), ([], [2, 3]), ([2, 3, 4], [4]), ([2, 3, 4], [3, 1]), ([2, 1, 4], [3, 1]), ([2, 2, 3, 2], [2, 1, 1, 2]), ([1], [1, 1, 3]),
    ]

    @Test("arithmetic broadcasts as NumPy's", arguments: shapes)
    func broadcasting(_ a: [Int], _ b: [Int]) {
        let x = Tensor.testNormal(a, seed: 2), y = Tensor.testNormal(b, seed: 3).square() + 0.5
        func definition(_ f: @escaping (Double, Double) -> Double) -> ([Oracle]) -> Oracle {
            { inputs in Oracle((x + y).shape) { f(inputs[0][$0], inputs[1][$0]) } }
        }
        expectGradient(of: { $0[0] + $0[1] }, at: [x, y], matching: definition(+), "+")
        expectGradient(of: { $0[0] - $0[1] }, at: [x, y], matching: definition(-), "-")
        expectGradient(of: { $0[0] * $0[1] }, at: [x, y], matching: definition(*), "*")
        expectGradient(of: { $0[0] / $0[1] }, at: [x, y], matching: definition(/), "/")
    }

    @Test("sums and means")
    func reductions() {
        let x = Tensor.testNormal([3, 4, 5], seed: 4)
        expectGradient(of: { $0[0].sum() }, at: [x], matching: { Oracle([], [$0[0].values.reduce(0, +)]) }, "sum")
        expectGradient(of: { $0[0].mean() }, at: [x], matching: { Oracle([], [$0[0].values.reduce(0, +) / 60]) }, "mean")
        expectGradient(of: { $0[0].sum(axis: 0) }, at: [x], matching: { o in
            Oracle([4, 5]) { i in (0..<3).reduce(0) { $0 + o[0][$1, i[0], i[1]] } }
        }, "sum over axis 0")
        expectGradient(of: { $0[0].mean(axis: 1, keepingAxis: true) }, at: [x], matching: { o in
            Oracle([3, 1, 5]) { i in (0..<4).reduce(0) { $0 + o[0][i[0], $1, i[2]] } / 4 }
        }, "mean over axis 1")
        expectGradient(of: { $0[0].sum(axis: -1) }, at: [x], matching: { o in
            Oracle([3, 4]) { i in (0..<5).reduce(0) { $0 + o[0][i[0], i[1], $1] } }
        }, "sum over the last axis")
    }

    @Test("ops that move elements")
    func movement() {
        let x = Tensor.testNormal([2, 3, 4], seed: 5), y = Tensor.testNormal([2, 2, 4], seed: 6)
        expectGradient(of: { $0[0].reshaped([4, -1]) }, at: [x], matching: { Oracle([4, 6], $0[0].values) }, "reshaped")
        expectGradient(of: { $0[0].transposed([2, 0, 1]) }, at: [x], matching: { o in Oracle([4, 2, 3]) { o[0][$0[1], $0[2], $0[0]] } }, "transposed")
        expectGradient(of: { Tensor.concatenated([$0[0], $0[1]], axis: 1) }, at: [x, y], matching: { o in
            Oracle([2, 5, 4]) { $0[1] < 3 ? o[0][$0] : o[1][$0[0], $0[1] - 3, $0[2]] }
        }, "concatenated")
        expectGradient(of: { $0[0].sliced(axis: 1, from: 1, to: 3) }, at: [x], matching: { o in
            Oracle([2, 2, 4]) { o[0][$0[0], $0[1] + 1, $0[2]] }
        }, "sliced")
        expectGradient(of: { let parts = $0[0].split(axis: 2, sizes: [1, 3]); return parts[0] * parts[1] }, at: [x], matching: { o in
            Oracle([2, 3, 3]) { o[0][$0[0], $0[1], 0] * o[0][$0[0], $0[1], $0[2] + 1] }
        }, "split")
        expectGradient(of: { $0[0].reshaped([1, 2, 3, 4]).upsampledNearest(3) }, at: [x], matching: { o in
            Oracle([1, 6, 9, 4]) { o[0][$0[1] / 3, $0[2] / 3, $0[3]] }
        }, "upsampled")
    }

    @Test("products", arguments: [(1, 1, 1), (3, 5, 4), (7, 1, 3)])
    func products(_ m: Int, _ n: Int, _ k: Int) {
        let a = Tensor.testNormal([2, m, k], seed: 7), b = Tensor.testNormal([k, n], seed: 8), bias = Tensor.testNormal([n], seed: 9)
        let weight = withoutGradients { b.transposed([1, 0]) }
        func product(_ right: @escaping (Oracle, [Int], Int) -> Double) -> ([Oracle]) -> Oracle {
            { o in Oracle([2, m, n]) { i in (0..<k).reduce(0) { $0 + o[0][i[0], i[1], $1] * right(o[1], i, $1) } } }
        }
        expectGradient(of: { $0[0].matmul($0[1]) }, at: [a, b], matching: product { b, i, j in b[j, i[2]] }, "matmul")
        expectGradient(of: { $0[0].matmul($0[1], transposed: true) }, at: [a, weight], matching: product { b, i, j in b[i[2], j] }, "matmul transposed")
        expectGradient(of: { $0[0].matmul($0[1]) }, at: [a, .testNormal([2, k, n], seed: 10)], matching: product { b, i, j in b[i[0], j, i[2]] }, "batched")
        expectGradient(of: { $0[0].linear($0[1], bias: $0[2]) }, at: [a, weight, bias], matching: { o in
            Oracle([2, m, n]) { i in (0..<k).reduce(o[2][i[2]]) { $0 + o[0][i[0], i[1], $1] * o[1][i[2], $1] } }
        }, "linear")
        expectGradient(of: { $0[0].linear($0[1], bias: $0[2], scale: 0.7, addend: $0[3]) }, at: [a, weight, bias, .testNormal([2, m, n], seed: 17)], matching: { o in
            Oracle([2, m, n]) { i in (0..<k).reduce(o[2][i[2]] + o[3][i[0], i[1], i[2]]) { $0 + 0.7 * o[0][i[0], i[1], $1] * o[1][i[2], $1] } }
        }, "linear, scaled and added")
        expectGradient(of: { $0[0].linear($0[1], addend: $0[2]) }, at: [a, weight, .testNormal([2, m, n], seed: 17)], "linear, added")
    }

    static let convolutions: [(kernel: [Int], stride: Int, padding: Padding)] = [
        ([3, 3], 1, Padding(1)), ([3, 3], 2, Padding(1)), ([3, 3], 2, Padding(top: 0, left: 0, bottom: 1, right: 1)), ([1, 1], 1, Padding(0)),
        ([1, 1], 2, Padding(0)), ([2, 3], 1, Padding(top: 1, left: 2, bottom: 0, right: 1)), ([4, 4], 4, Padding(0)), ([1, 1], 1, Padding(1)),
    ]

    @Test("convolution", arguments: convolutions.indices)
    func convolution(_ index: Int) {
        let (kernel, stride, p) = Self.convolutions[index]
        let (h, w) = (5, 6)
        let x = Tensor.testNormal([2, h, w, 3], seed: 11), weight = Tensor.testNormal([4, 3, kernel[0], kernel[1]], seed: 12), bias = Tensor.testNormal([4], seed: 13)
        let (outHeight, outWidth) = ((h + p.top + p.bottom - kernel[0]) / stride + 1, (w + p.left + p.right - kernel[1]) / stride + 1)
        expectGradient(of: { $0[0].conv2d($0[1], bias: $0[2], stride: stride, padding: p) }, at: [x, weight, bias], matching: { o in
            Oracle([2, outHeight, outWidth, 4]) { i in
                var sum = o[2][i[3]]
                for u in 0..<kernel[0] {
                    for v in 0..<kernel[1] {
                        let (row, column) = (i[1] * stride + u - p.top, i[2] * stride + v - p.left)
                        guard row >= 0, row < h, column >= 0, column < w else { continue }
                        for c in 0..<3 { sum += o[0][i[0], row, column, c] * o[1][i[3], c, u, v] }
                    }
                }
                return sum
            }
        }, "\(kernel) stride \(stride) \(p)")
    }

    @Test("group normalisation", arguments: [Activation.identity, .silu], [1, 2, 6])
    func groupNorm(_ activation: Activation, _ groups: Int) {
        let x = Tensor.testNormal([2, 2, 3, 6], seed: 14), scale = Tensor.testNormal([6], seed: 15), shift = Tensor.testNormal([6], seed: 16)
        let width = 6 / groups
        expectGradient(of: { $0[0].groupNorm(groups: groups, scale: $0[1], shift: $0[2], epsilon: 1e-3, activation: activation) }, at: [x, scale, shift], matching: { o in
            Oracle([2, 2, 3, 6]) { i in
                let first = i[3] / width * width
                let group = (0..<6 * width).map { o[0][i[0], $0 / width / 3, $0 / width % 3, first + $0 % width] }
                let mean = group.reduce(0, +) / Double(group.count), variance = group.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(group.count)
                let y = (o[0][i] - mean) / (variance + Double(Float(1e-3))).squareRoot() * o[1][i[3]] + o[2][i[3]]
                return activation == .silu ? y / (1 + Foundation.exp(-y)) : y
            }
        }, "groupNorm \(groups) \(activation)")
    }

    @Test("layer normalisation")
    func layerNorm() {
        let x = Tensor.testNormal([2, 3, 7], seed: 17), scale = Tensor.testNormal([7], seed: 18), shift = Tensor.testNormal([7], seed: 19)
        expectGradient(of: { $0[0].layerNorm(scale: $0[1], shift: $0[2], epsilon: 1e-3) }, at: [x, scale, shift], matching: { o in
            Oracle([2, 3, 7]) { i in
                let row = (0..<7).map { o[0][i[0], i[1], $0] }
                let mean = row.reduce(0, +) / 7, variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 7
                return (o[0][i] - mean) / (variance + Double(Float(1e-3))).squareRoot() * o[1][i[2]] + o[2][i[2]]
            }
        })
    }

    @Test("softmax, its logarithm and GEGLU")
    func rows() {
        let x = Tensor.testNormal([3, 8], seed: 20, scale: 2)
        func logSum(_ o: Oracle, _ row: Int) -> Double { Foundation.log((0..<8).reduce(0) { $0 + Foundation.exp(o[row, $1]) }) }
        expectGradient(of: { $0[0].softmax() }, at: [x], matching: { o in Oracle([3, 8]) { Foundation.exp(o[0][$0] - logSum(o[0], $0[0])) } }, "softmax")
        expectGradient(of: { $0[0].logSoftmax() }, at: [x], matching: { o in Oracle([3, 8]) { o[0][$0] - logSum(o[0], $0[0]) } }, "logSoftmax")
        expectGradient(of: { $0[0].geglu() }, at: [x], matching: { o in
            Oracle([3, 4]) { i in
                let gate = o[0][i[0], i[1] + 4]
                return o[0][i] * 0.5 * gate * (1 + erf(gate / 2.0.squareRoot()))
            }
        }, "geglu")
    }

    static let masks: [AttentionMask] = [.none, .causal, .keyLengths([5, 2]), .causalWithOffset(2), .keyLengths([0, 5])]

    @Test("attention", arguments: masks)
    func attention(_ mask: AttentionMask) {
        let (t, s, heads, d) = (4, 5, 2, 3)
        let q = Tensor.testNormal([2, t, heads * d], seed: 21), k = Tensor.testNormal([2, s, heads * d], seed: 22), v = Tensor.testNormal([2, s, heads * d], seed: 23)
        func sees(_ b: Int, _ t: Int, _ s: Int) -> Bool {
            switch mask {
            case .none: true
            case .causal: s <= t
            case .keyLengths(let lengths): s < lengths[b]
            case .causalWithOffset(let offset): s <= t + offset
            }
        }
        expectGradient(of: { Tensor.attention($0[0], $0[1], $0[2], heads: heads, mask: mask, scale: 0.7) }, at: [q, k, v], matching: { o in
            Oracle([2, t, heads * d]) { i in
                let first = i[2] / d * d
                let weights = (0..<s).map { j in
                    sees(i[0], i[1], j) ? Foundation.exp(0.7 * (0..<d).reduce(0) { $0 + o[0][i[0], i[1], first + $1] * o[1][i[0], j, first + $1] }) : 0
                }
                let total = weights.reduce(0, +)
                return total == 0 ? 0 : (0..<s).reduce(0) { $0 + weights[$1] * o[2][i[0], $1, i[2]] } / total
            }
        }, "\(mask)")
    }

    @Test("embedding adds the gradients of repeated rows")
    func embedding() {
        expectGradient(of: { Tensor.embedding($0[0], [2, 0, 2, 3], shape: [2, 2]) }, at: [.testNormal([4, 3], seed: 24)], matching: { o in
            Oracle([2, 2, 3]) { o[0][[2, 0, 2, 3][$0[0] * 2 + $0[1]], $0[2]] }
        })
    }

    @Test("losses")
    func losses() {
        let x = Tensor.testNormal([3, 5], seed: 25), y = Tensor.testNormal([3, 5], seed: 26)
        expectGradient(of: { $0[0].meanSquaredError($0[1]) }, at: [x, y], matching: { o in
            Oracle([], [zip(o[0].values, o[1].values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / 15])
        }, "mean squared error")
        let targets = [4, -1, 2], smoothing = Double(Float(0.2))
        expectGradient(of: { $0[0].crossEntropy(targets, ignoring: -1, labelSmoothing: 0.2) }, at: [x], matching: { o in
            let rows = [0, 2].map { row -> Double in
                let logits = (0..<5).map { o[0][row, $0] }
                let logSum = Foundation.log(logits.reduce(0) { $0 + Foundation.exp($1) })
                return (1 - smoothing) * (logSum - logits[targets[row]]) + smoothing * logits.reduce(0) { $0 + (logSum - $1) / 5 }
            }
            return Oracle([], [(rows[0] + rows[1]) / 2])
        }, "cross-entropy")
    }
}
