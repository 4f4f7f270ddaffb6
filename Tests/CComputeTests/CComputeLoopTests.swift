import CCompute
import Foundation
import Testing

extension CComputeTests {
    /// Counts around the vector widths, and one that several threads share.
    static let counts = [0, 1, 3, 7, 8, 15, 16, 17, 31, 100, 40_001]

    @Suite("Element-wise") struct ElementWise {
        typealias Case = (name: String, function: cc_function, range: ClosedRange<Float>, value: @Sendable (Double) -> Double, slope: @Sendable (Double) -> Double)

        @Sendable static func sigma(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        @Sendable static func phi(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
        static let tanhGELU: @Sendable (Double) -> Double = { x in 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) }

        static let cases: [Case] = [
            ("exp", CC_EXP, -80...80, { exp($0) }, { exp($0) }), ("log", CC_LOG, 1e-6...50, { log($0) }, { 1 / $0 }),
            ("sqrt", CC_SQRT, 0.01...9, { $0.squareRoot() }, { 0.5 / $0.squareRoot() }), ("square", CC_SQUARE, -3...3, { $0 * $0 }, { 2 * $0 }),
            ("abs", CC_ABS, -3...3, { abs($0) }, { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }), ("negate", CC_NEGATE, -3...3, { -$0 }, { _ in -1 }),
            ("reciprocal", CC_RECIPROCAL, 0.1...4, { 1 / $0 }, { -1 / ($0 * $0) }), ("sigmoid", CC_SIGMOID, -20...20, { sigma($0) }, { sigma($0) * (1 - sigma($0)) }),
            ("tanh", CC_TANH, -6...6, { tanh($0) }, { 1 - tanh($0) * tanh($0) }), ("relu", CC_RELU, -3...3, { max($0, 0) }, { $0 > 0 ? 1 : 0 }),
            ("silu", CC_SILU, -20...20, { $0 * sigma($0) }, { sigma($0) * (1 + $0 * (1 - sigma($0))) }),
            ("gelu", CC_GELU, -6...6, { $0 * phi($0) }, { phi($0) + $0 * exp(-$0 * $0 / 2) / (2 * Double.pi).squareRoot() }),
            ("tanh gelu", CC_GELU_TANH, -6...6, tanhGELU, { (tanhGELU($0 + 1e-5) - tanhGELU($0 - 1e-5)) / 2e-5 }),
            ("quick gelu", CC_GELU_QUICK, -6...6, { $0 * sigma(1.702 * $0) }, { sigma(1.702 * $0) * (1 + 1.702 * $0 * (1 - sigma(1.702 * $0))) }),
            ("sin", CC_SIN, -9...9, { sin($0) }, { cos($0) }), ("cos", CC_COS, -9...9, { cos($0) }, { -sin($0) }),
        ]

        @Test("functions and their slopes agree with double", arguments: cases.indices)
        func functions(index: Int) {
            let (name, function, range, value, slope) = Self.cases[index]
            var numbers = TestNumbers(UInt64(index))
            for count in CComputeTests.counts {
                let x = numbers.floats(count, range), dy = numbers.floats(count)
                onEveryInstructionSet {
                    var (y, dx) = (x, dy)
                    cc_apply(function, count, y, &y)  // in place
                    cc_apply_backward(function, count, x, y, dy, &dx)
                    for i in 0..<count {
                        // Relative to the value, with a floor of one unit in the last place of 1 for those that pass through zero.
                        let expected = value(Double(x[i])), gradient = Double(dy[i]) * slope(Double(x[i]))
                        guard abs(Double(y[i]) - expected) < 1e-6 * max(abs(expected), 0.3), abs(Double(dx[i]) - gradient) < 3e-6 * max(abs(gradient), 0.3) else {
                            Issue.record("\(name)(\(x[i])) = \(y[i]), slope \(dx[i]); expected \(expected), \(gradient)")
                            return
                        }
                    }
                }
            }
        }

        @Test("ends of the range: infinities, subnormals, NaN")
        func ends() {
            onEveryInstructionSet {
                func apply(_ f: cc_function, _ x: [Float]) -> [Float] {
                    var y = x
                    cc_apply(f, x.count, x, &y)
                    return y
                }
                let e = apply(CC_EXP, [-.infinity, -200, -103, 0, 88.7, 89, .infinity, .nan])
                #expect(e[0] == 0 && e[1] == 0 && e[2] > 0 && e[2] < 0x1p-140 && e[3] == 1 && e[4] > 3e38 && e[4].isFinite)
                #expect(e[5] == .infinity && e[6] == .infinity && e[7].isNaN)
                let l = apply(CC_LOG, [0, -1, .infinity, 0x1p-133, 1, .nan])
                #expect(l[0] == -.infinity && l[1].isNaN && l[2] == .infinity && abs(l[3] + 92.1886) < 1e-3 && l[4] == 0 && l[5].isNaN)
                #expect(apply(CC_TANH, [-.infinity, 1e-20, 100]) == [-1, 1e-20, 1])
                let s = apply(CC_SILU, [-200, 200, .nan])
                #expect(abs(s[0]) < 1e-34 && s[1] == 200 && s[2].isNaN)
                #expect(apply(CC_GELU, [-50, 50]) == [0, 50])
            }
        }

        @Test("operators, scalars and combinations", arguments: CComputeTests.counts)
        func operators(count: Int) {
            var numbers = TestNumbers(4)
            let a = numbers.floats(count), b = numbers.floats(count, 0.5...2)
            let operators: [(cc_operator, (Float, Float) -> Float)] = [(CC_ADD, +), (CC_SUBTRACT, -), (CC_MULTIPLY, *), (CC_DIVIDE, /), (CC_MAXIMUM, max), (CC_MINIMUM, min)]
            onEveryInstructionSet {
                for (op, function) in operators {
                    var y = a
                    cc_combine(op, count, y, b, &y)
                    #expect(y == zip(a, b).map(function))
                    cc_combine_scalar(op, count, a, 0.75, &y)
                    #expect(y == a.map { function($0, 0.75) })
                }
                var y = b
                cc_axpy(count, 2, a, &y)
                #expect(relativeError(y, zip(a, b).map { 2 * Double($0) + Double($1) }) < 1e-6)
                cc_clamp(count, a, -0.25, 0.5, &y)
                #expect(y == a.map { min(max($0, -0.25), 0.5) })
                cc_clamp_backward(count, a, -0.25, 0.5, b, &y)
                #expect(y == zip(a, b).map { $0 < -0.25 || $0 > 0.5 ? 0 : $1 })
                cc_fill(count, 7, &y)
                #expect(y == [Float](repeating: 7, count: count))
            }
        }

        @Test("broadcasts over any axes", arguments: 0..<40)
        func broadcast(seed: Int) {
            var numbers = TestNumbers(UInt64(seed) + 9)
            let rank = numbers.integer(0...5), shape = (0..<rank).map { _ in [1, 2, 3, 5, 17][numbers.integer(0...4)] }
            func operand(_ numbers: inout TestNumbers) -> (values: [Float], strides: [Int]) {
                var strides = [Int](repeating: 0, count: rank), size = 1
                for axis in stride(from: rank - 1, through: 0, by: -1) where numbers.bool() {
                    strides[axis] = size
                    size *= shape[axis]
                }
                return (numbers.floats(size), strides)
            }
            let a = operand(&numbers), b = operand(&numbers), count = shape.reduce(1, *)
            var expected = [Float]()
            for i in 0..<count {
                var (rest, atA, atB) = (i, 0, 0)
                for axis in stride(from: rank - 1, through: 0, by: -1) {
                    atA += rest % shape[axis] * a.strides[axis]
                    atB += rest % shape[axis] * b.strides[axis]
                    rest /= shape[axis]
                }
                expected.append(a.values[atA] - b.values[atB])
            }
            onEveryInstructionSet {
                var y = [Float](repeating: .nan, count: count)
                cc_combine_broadcast(CC_SUBTRACT, Int32(rank), shape, a.values, a.strides, b.values, b.strides, &y)
                #expect(y == expected)
            }
        }

        @Test("gated GELU", arguments: [(0, 3), (1, 1), (3, 17), (40, 640)])
        func gate(rows: Int, N: Int) {
            var numbers = TestNumbers(2)
            let x = numbers.floats(rows * 2 * N, -4...4), dy = numbers.floats(rows * N)
            var expected = [Double](), gradient = x.map { _ in 0.0 }
            for r in 0..<rows { for j in 0..<N {
                let (value, gate) = (Double(x[r * 2 * N + j]), Double(x[r * 2 * N + N + j])), slope = Double(dy[r * N + j])
                expected.append(value * gate * Self.phi(gate))
                gradient[r * 2 * N + j] = slope * gate * Self.phi(gate)
                gradient[r * 2 * N + N + j] = slope * value * (Self.phi(gate) + gate * exp(-gate * gate / 2) / (2 * Double.pi).squareRoot())
            } }
            onEveryInstructionSet {
                var (y, dx) = ([Float](repeating: 0, count: rows * N), x)
                cc_geglu(rows, N, x, &y)
                cc_geglu_backward(rows, N, x, dy, &dx)
                #expect(relativeError(y, expected, floor: 0.1) < 2e-6)
                #expect(relativeError(dx, gradient, floor: 0.1) < 2e-6)
            }
        }

        @Test("half precision: every 16-bit pattern survives a round trip, and narrowing rounds to nearest even")
        func halfPrecision() {
            let patterns = (0...UInt16.max).map { $0 }
            onEveryInstructionSet {
                for type in [CC_F16, CC_BF16] {
                    var wide = [Float](repeating: 0, count: patterns.count), back = patterns
                    cc_convert(patterns.count, patterns, type, &wide, CC_F32)
                    cc_convert(patterns.count, wide, CC_F32, &back, type)
                    let nan = patterns.indices.filter { wide[$0].isNaN }
                    #expect(nan.count == (type == CC_F16 ? 2046 : 254))
                    #expect(nan.allSatisfy { type == CC_F16 ? Float16(bitPattern: back[$0]).isNaN : back[$0] & 0x7F80 == 0x7F80 && back[$0] & 0x7F != 0 })
                    #expect(patterns.indices.filter { !wide[$0].isNaN && back[$0] != patterns[$0] }.isEmpty)
                    if type == CC_F16 { #expect(patterns.indices.allSatisfy { wide[$0].isNaN || wide[$0] == Float(Float16(bitPattern: patterns[$0])) }) }
                }
                var numbers = TestNumbers(12)
                let x = numbers.floats(20_000, -70_000...70_000) + numbers.floats(20_000, -1e-4...1e-4) + [65_519.99, 65_520, 1e-8, -0.0, .infinity]
                var narrow = [UInt16](repeating: 0, count: x.count)
                cc_convert(x.count, x, CC_F32, &narrow, CC_F16)
                #expect(narrow == x.map { Float16($0).bitPattern })
                cc_convert(3, [1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-8 + 0x1p-20] as [Float], CC_F32, &narrow, CC_BF16)
                #expect(Array(narrow[..<3]) == [0x3F80, 0x3F82, 0x3F81])  // half way to even, half way to even, above half way
            }
        }

        @Test("AdamW does three steps as the paper writes them")
        func adamW() {
            var numbers = TestNumbers(1)
            let n = 40_003, start = numbers.floats(n), gradients = (0..<3).map { _ in numbers.floats(n) }
            var p = start.map(Double.init), m = p.map { _ in 0.0 }, v = m
            for step in 1...3 { for i in 0..<n {
                let g = Double(gradients[step - 1][i]) * 0.5
                p[i] -= 1e-2 * 0.1 * p[i]
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g * g
                p[i] -= 1e-2 * (m[i] / (1 - pow(0.9, Double(step)))) / ((v[i] / (1 - pow(0.999, Double(step)))).squareRoot() + 1e-8)
            } }
            onEveryInstructionSet {
                var (parameters, first, second) = (start, [Float](repeating: 0, count: n), [Float](repeating: 0, count: n))
                for step in 1...3 { cc_adamw(n, &parameters, gradients[step - 1], &first, &second, 1e-2, 0.9, 0.999, 1e-8, 0.1, step, 0.5) }
                #expect(relativeError(parameters, p) < 3e-6)
            }
        }
    }

    @Suite("Reductions and normalisations") struct Reductions {
        @Test("sums, products and largest values", arguments: CComputeTests.counts + [200_000])
        func sums(count: Int) {
            var numbers = TestNumbers(3)
            let a = numbers.floats(count, 1...2), b = numbers.floats(count)
            let sum = a.reduce(0) { $0 + Double($1) }, dot = zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            onEveryInstructionSet {
                #expect(abs(cc_sum(count, a) - sum) <= 1e-6 * sum)
                #expect(abs(cc_dot(count, a, b) - dot) <= 1e-6 * sum)
                #expect(cc_max_abs(count, b) == b.map(abs).max() ?? 0)
                #expect(cc_max_abs(count + 1, b + [.nan]).isNaN)
            }
        }

        @Test("along any axis", arguments: [(1, 0, 5), (2, 1, 1), (1, 1000, 64), (3, 7, 17), (2, 5000, 3), (70, 9, 1), (1, 100_000, 1), (2, 600, 130)])
        func axis(outer: Int, n: Int, inner: Int) {
            var numbers = TestNumbers(3)
            let x = numbers.floats(outer * n * inner, 0...1), start = numbers.floats(outer * inner)
            var sums = [Double](repeating: 0, count: outer * inner)
            for o in 0..<outer { for j in 0..<n { for i in 0..<inner { sums[o * inner + i] += Double(x[(o * n + j) * inner + i]) } } }
            onEveryInstructionSet {
                var y = start
                cc_sum_axis(outer, n, inner, x, &y, true)
                #expect(relativeError(y, zip(start, sums).map { Double($0) + $1 }) < 1e-6)
                cc_sum_axis(outer, n, inner, x, &y, false)
                #expect(relativeError(y, sums) < 1e-6)
            }
        }

        @Test("softmax and its logarithm, forward and backward", arguments: [(0, 4), (1, 1), (3, 17), (50, 77), (2, 40_000)])
        func softmax(rows: Int, n: Int) {
            var numbers = TestNumbers(4)
            let x = numbers.floats(rows * n, -30...30), dy = numbers.floats(rows * n)
            var (p, dp, logP, dLogP) = ([Double](), [Double](), [Double](), [Double]())
            for r in 0..<rows {
                let row = x[r * n..<(r + 1) * n].map(Double.init), slopes = dy[r * n..<(r + 1) * n].map(Double.init), total = row.reduce(0) { $0 + exp($1) }
                let values = row.map { exp($0) / total }, mean = zip(values, slopes).reduce(0) { $0 + $1.0 * $1.1 }, all = slopes.reduce(0, +)
                p += values
                logP += row.map { $0 - log(total) }
                dp += zip(values, slopes).map { $0 * ($1 - mean) }
                dLogP += zip(values, slopes).map { $1 - $0 * all }
            }
            onEveryInstructionSet {
                var (y, dx) = (x, x)
                cc_softmax(rows, n, x, &y)
                cc_softmax_backward(rows, n, y, dy, &dx)
                #expect(relativeError(y, p) < 1e-5)
                #expect(relativeError(dx, dp) < 1e-5)
                cc_log_softmax(rows, n, x, &y)
                cc_log_softmax_backward(rows, n, y, dy, &dx)
                #expect(relativeError(y, logP) < 1e-6)
                #expect(relativeError(dx, dLogP) < 1e-5)
            }
        }

        /// `(x − mean)/σ · scale + shift`, SiLU if asked, over `members` (indices of one group each), and the gradients.
        static func normalise(_ x: [Float], _ dy: [Float], members: [[Int]], channel: (Int) -> Int, scale: [Float]?, shift: [Float]?, channels: Int, silu: Bool)
            -> (y: [Double], dx: [Double], dscale: [Double], dshift: [Double])
        {
            var y = x.map { _ in 0.0 }, dx = y, dscale = [Double](repeating: 0, count: channels), dshift = dscale
            for group in members {
                let n = Double(group.count), mean = group.reduce(0) { $0 + Double(x[$1]) } / n
                let rstd = 1 / (group.reduce(0) { $0 + (Double(x[$1]) - mean) * (Double(x[$1]) - mean) } / n + 1e-5).squareRoot()
                var (plain, weighted) = (0.0, 0.0), inner = [Double]()
                for i in group {
                    let s = Double(scale?[channel(i)] ?? 1), normal = (Double(x[i]) - mean) * rstd, u = normal * s + Double(shift?[channel(i)] ?? 0), sigma = 1 / (1 + exp(-u))
                    let g = Double(dy[i]) * (silu ? sigma * (1 + u * (1 - sigma)) : 1)
                    y[i] = silu ? u * sigma : u
                    dscale[channel(i)] += g * normal
                    dshift[channel(i)] += g
                    inner.append(g * s)
                    plain += g * s
                    weighted += g * s * normal
                }
                for (i, g) in zip(group, inner) { dx[i] = rstd * (g - plain / n - (Double(x[i]) - mean) * rstd * weighted / n) }
            }
            return (y, dx, dscale, dshift)
        }

        @Test("layer normalisation, forward and backward", arguments: [(1, 1, false), (3, 17, true), (100, 64, true), (2, 1280, true), (40, 33, false)])
        func layerNorm(rows: Int, n: Int, affine: Bool) {
            var numbers = TestNumbers(6)
            let x = numbers.floats(rows * n, 3...5), dy = numbers.floats(rows * n), scale = affine ? numbers.floats(n) : nil, shift = affine ? numbers.floats(n) : nil
            let members = (0..<rows).map { r in Array(r * n..<(r + 1) * n) }
            let reference = Self.normalise(x, dy, members: members, channel: { $0 % n }, scale: scale, shift: shift, channels: n, silu: false)
            onEveryInstructionSet {
                var (y, mean, rstd, dx) = (x, [Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows), x)
                var (dscale, dshift) = ([Float](repeating: 9, count: n), [Float](repeating: 9, count: n))
                cc_layer_norm(rows, n, 1e-5, x, scale, shift, &y, &mean, &rstd)
                cc_layer_norm_backward(rows, n, x, scale, mean, rstd, dy, &dx, &dscale, &dshift)
                #expect(relativeError(y, reference.y) < 2e-5)
                #expect(relativeError(dx, reference.dx) < 5e-5)
                #expect(relativeError(dscale, reference.dscale) < 2e-5)
                #expect(relativeError(dshift, reference.dshift) < 2e-5)
                cc_layer_norm_backward(rows, n, x, scale, mean, rstd, dy, &dx, nil, nil)
                #expect(relativeError(dx, reference.dx) < 5e-5)
            }
        }

        @Test("group normalisation with and without SiLU, also far from zero", arguments: [
            (1, 1, 4, 2, false, Float(0)), (2, 9, 6, 3, true, 0), (3, 100, 64, 32, true, 0), (1, 1024, 96, 32, true, 1000), (2, 300, 17, 1, false, 50), (2, 64, 320, 32, true, 0),
        ])
        func groupNorm(batch: Int, pixels: Int, channels: Int, groups: Int, silu: Bool, offset: Float) {
            var numbers = TestNumbers(7)
            let count = batch * pixels * channels, x = numbers.floats(count, offset...offset + 2), dy = numbers.floats(count)
            let scale = numbers.floats(channels), shift = numbers.floats(channels), width = channels / groups
            let members = (0..<batch * groups).map { i in
                (0..<pixels).flatMap { p in (0..<width).map { (i / groups * pixels + p) * channels + i % groups * width + $0 } }
            }
            let reference = Self.normalise(x, dy, members: members, channel: { $0 % channels }, scale: scale, shift: shift, channels: channels, silu: silu)
            // Values around 1000 keep 1e-4 of their spread in float32.
            let tolerance = offset == 0 ? 5e-5 : offset == 50 ? 1e-4 : 2e-3
            onEveryInstructionSet {
                var (y, mean, rstd, dx) = (x, [Float](repeating: 0, count: batch * groups), [Float](repeating: 0, count: batch * groups), x)
                var (dscale, dshift) = ([Float](repeating: 9, count: channels), [Float](repeating: 9, count: channels))
                cc_group_norm(batch, pixels, channels, groups, 1e-5, silu, x, scale, shift, &y, &mean, &rstd)
                cc_group_norm_backward(batch, pixels, channels, groups, silu, x, scale, shift, mean, rstd, dy, &dx, &dscale, &dshift)
                #expect(relativeError(y, reference.y) < tolerance)
                #expect(relativeError(dx, reference.dx) < 3 * tolerance)
                #expect(relativeError(dscale, reference.dscale) < tolerance)
                #expect(relativeError(dshift, reference.dshift) < tolerance)
            }
        }
    }

    @Suite("Moving data") struct Moving {
        @Test("transposes any permutation", arguments: 0..<40)
        func transpose(seed: Int) {
            var numbers = TestNumbers(UInt64(seed) + 77)
            let rank = numbers.integer(0...5), shape = (0..<rank).map { _ in [0, 1, 2, 3, 5, 18, 33][numbers.integer(seed % 8 == 0 ? 0...6 : 1...6)] }
            var axes = (0..<rank).map { $0 }
            for i in axes.indices.reversed() { axes.swapAt(i, numbers.integer(0...i)) }
            let count = shape.reduce(1, *), x = (0..<count).map(Float.init)
            var strides = [Int](repeating: 1, count: rank)
            for i in (0..<max(0, rank - 1)).reversed() { strides[i] = strides[i + 1] * shape[i + 1] }
            let expected = (0..<count).map { i in
                var (rest, at) = (i, 0)
                for axis in axes.reversed() {
                    at += rest % shape[axis] * strides[axis]
                    rest /= shape[axis]
                }
                return x[at]
            }
            onEveryInstructionSet {
                var y = [Float](repeating: -1, count: count)
                cc_transpose(Int32(rank), shape, axes.map(Int32.init), x, &y)
                #expect(y == expected)
            }
        }

        @Test("rows are copied and added with any strides", arguments: [(0, 3, 3, 3), (1, 40_000, 40_000, 40_000), (5, 3, 7, 4), (300, 100, 100, 100), (2, 0, 1, 1)])
        func rows(rows: Int, n: Int, xRow: Int, yRow: Int) {
            var numbers = TestNumbers(2)
            let x = numbers.floats(rows * xRow), start = numbers.floats(rows * yRow)
            var (copied, added) = (start, start)
            for r in 0..<rows { for j in 0..<n {
                copied[r * yRow + j] = x[r * xRow + j]
                added[r * yRow + j] += x[r * xRow + j]
            } }
            onEveryInstructionSet {
                var y = start
                cc_copy_rows(rows, n, x, xRow, &y, yRow)
                #expect(y == copied)
                y = start
                cc_add_rows(rows, n, x, xRow, &y, yRow)
                #expect(y == added)
            }
        }

        @Test("rows are gathered from a table of any format and added back")
        func tables() {
            var numbers = TestNumbers(2)
            let (n, indices) = (19, [3, 0, 3, 1]), table = numbers.floats(4 * n), x = numbers.floats(4 * n)
            var summed = table
            for (i, index) in indices.enumerated() { for j in 0..<n { summed[index * n + j] += x[i * n + j] } }
            onEveryInstructionSet {
                var y = [Float](repeating: 0, count: 4 * n), target = table, half = [UInt16](repeating: 0, count: 4 * n), rounded = table
                cc_gather_rows(4, n, table, CC_F32, indices, &y)
                #expect(y == indices.flatMap { table[$0 * n..<($0 + 1) * n] })
                cc_convert(4 * n, table, CC_F32, &half, CC_BF16)
                cc_convert(4 * n, half, CC_BF16, &rounded, CC_F32)
                cc_gather_rows(4, n, half, CC_BF16, indices, &y)
                #expect(y == indices.flatMap { rounded[$0 * n..<($0 + 1) * n] })
                cc_scatter_add_rows(4, n, x, indices, &target)
                #expect(target == summed)
            }
        }

        @Test("upsampling repeats pixels and its gradient sums them", arguments: [(0, 2, 2, 3), (1, 1, 1, 1), (2, 5, 7, 17)])
        func upsample(batch: Int, height: Int, width: Int, channels: Int) {
            var numbers = TestNumbers(2)
            let x = numbers.floats(batch * height * width * channels), dy = numbers.floats(x.count * 4)
            func small(_ i: Int) -> Int {
                let (c, column, row) = (i % channels, i / channels % (2 * width), i / channels / (2 * width))
                return (row / 2 * width + column / 2) * channels + c
            }
            var gradient = x.map { _ in 0.0 }
            for i in dy.indices { gradient[small(i)] += Double(dy[i]) }
            onEveryInstructionSet {
                var (y, dx) = (dy, x)
                cc_upsample2(batch, height, width, channels, x, &y)
                cc_upsample2_backward(batch, height, width, channels, dy, &dx)
                #expect(y == dy.indices.map { x[small($0)] })
                #expect(relativeError(dx, gradient) < 1e-6)
            }
        }
    }
}
