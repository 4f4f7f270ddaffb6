import CCompute
import Testing

extension CComputeTests {
    @Suite("Convolution") struct Convolution {
        /// A convolution and its gradients as nested loops in double.
        struct Reference {
            var y: [Double], dx: [Double], dw: [Double], dbias: [Double]

            init(_ c: cc_conv, x: [Float], w: [Float], bias: [Float], addend: [Float], dy: [Float]) {
                let (Ho, Wo) = withUnsafePointer(to: c) { (cc_conv_out_height($0), cc_conv_out_width($0)) }
                y = [Double](repeating: 0, count: dy.count)
                dx = [Double](repeating: 0, count: x.count)
                dw = [Double](repeating: 0, count: w.count)
                dbias = [Double](repeating: 0, count: bias.count)
                let (C, O, kH, kW) = (c.channels, c.outChannels, c.kernelHeight, c.kernelWidth)
                for b in 0..<c.batch { for oy in 0..<Ho { for ox in 0..<Wo { for o in 0..<O {
                    let at = ((b * Ho + oy) * Wo + ox) * O + o
                    var sum = Double(bias[o]) + Double(addend[at])
                    let slope = Double(dy[at])
                    dbias[o] += slope
                    for ky in 0..<kH { for kx in 0..<kW {
                        let (iy, ix) = (oy * c.stride + ky - c.padTop, ox * c.stride + kx - c.padLeft)
                        guard iy >= 0, ix >= 0, iy < c.height, ix < c.width else { continue }
                        let (pixel, tap) = (((b * c.height + iy) * c.width + ix) * C, (o * C * kH + ky) * kW + kx)
                        for i in 0..<C {
                            sum += Double(x[pixel + i]) * Double(w[tap + i * kH * kW])
                            dx[pixel + i] += slope * Double(w[tap + i * kH * kW])
                            dw[tap + i * kH * kW] += slope * Double(x[pixel + i])
                        }
                    } }
                    y[at] = sum
                } } } }
            }
        }

        /// Forward and all gradients against the reference, overwriting and accumulating.
        static func check(_ shape: cc_conv, _ numbers: inout TestNumbers) {
            var c = shape
            let (Ho, Wo) = (max(0, cc_conv_out_height(&c)), max(0, cc_conv_out_width(&c)))
            let x = numbers.floats(c.batch * c.height * c.width * c.channels), bias = numbers.floats(c.outChannels)
            let exact = numbers.floats(c.outChannels * c.kernelHeight * c.kernelWidth * c.channels), addend = numbers.floats(c.batch * Ho * Wo * c.outChannels)
            let dy = numbers.floats(addend.count), accumulate = numbers.bool()
            var stored = [UInt16](repeating: 0, count: exact.count * 2), w = exact
            cc_convert(exact.count, exact, CC_F32, &stored, c.weightType)
            cc_convert(exact.count, stored, c.weightType, &w, CC_F32)
            let reference = Reference(c, x: x, w: w, bias: bias, addend: addend, dy: dy), tolerance = c.tight ? sumTolerance : winogradTolerance
            func sum(_ start: [Float], _ gradient: [Double]) -> [Double] { accumulate ? zip(start, gradient).map { Double($0) + $1 } : gradient }
            let (startX, startW, startBias) = (numbers.floats(x.count), numbers.floats(w.count), numbers.floats(bias.count))
            onEveryInstructionSet {
                var (y, dx, dw, dbias) = (addend, startX, startW, startBias)
                cc_conv2d_forward(&c, x, stored, bias, addend, &y)
                cc_conv2d_backward_input(&c, stored, dy, &dx, accumulate)
                cc_conv2d_backward_weight(&c, x, dy, &dw, &dbias, accumulate)
                #expect(relativeError(y, reference.y) < tolerance, "forward \(c)")
                #expect(relativeError(dx, sum(startX, reference.dx)) < tolerance, "input gradient \(c)")
                #expect(relativeError(dw, sum(startW, reference.dw)) < tolerance, "weight gradient \(c)")
                #expect(relativeError(dbias, sum(startBias, reference.dbias)) < 10 * sumTolerance, "bias gradient \(c)")
            }
        }

        static func shape(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, _ out: Int, kernel: Int = 3, stride: Int = 1, pad: Int = 1, tight: Bool = false,
                          type: cc_dtype = CC_F32) -> cc_conv {
            cc_conv(batch: batch, height: height, width: width, channels: channels, outChannels: out, kernelHeight: kernel, kernelWidth: kernel, stride: stride,
                    padTop: pad, padLeft: pad, padBottom: pad, padRight: pad, weightType: type, tight: tight)
        }

        @Test("agrees with nested loops in double for any shape, stride and padding", arguments: 0..<80)
        func agrees(seed: Int) {
            var numbers = TestNumbers(UInt64(seed) + 100)
            var c = Self.shape(numbers.integer(0...3), numbers.integer(1...15), numbers.integer(1...15), numbers.integer(1...40), numbers.integer(1...40))
            c.kernelHeight = numbers.integer(1...4)
            c.kernelWidth = numbers.bool() ? c.kernelHeight : numbers.integer(1...4)
            c.stride = numbers.integer(1...3)
            (c.padTop, c.padBottom) = (numbers.integer(0...c.kernelHeight - 1), numbers.integer(0...c.kernelHeight - 1))
            (c.padLeft, c.padRight) = (numbers.integer(0...c.kernelWidth - 1), numbers.integer(0...c.kernelWidth - 1))
            c.weightType = [CC_F32, CC_F16, CC_BF16][numbers.integer(0...2)]
            c.tight = numbers.bool()
            guard c.height + c.padTop + c.padBottom >= c.kernelHeight, c.width + c.padLeft + c.padRight >= c.kernelWidth else { return }
            Self.check(c, &numbers)
        }

        @Test("agrees at the shapes that take other ways through the code", arguments: [
            shape(8, 8, 8, 64, 64), shape(2, 16, 16, 24, 48), shape(2, 9, 13, 50, 33, tight: true), shape(1, 130, 3, 16, 16), shape(1, 3, 300, 8, 8),
            shape(2, 12, 12, 20, 3), shape(2, 12, 12, 3, 20), shape(1, 7, 7, 130, 4), shape(1, 4, 4, 300, 200, type: CC_F16), shape(3, 32, 32, 16, 16, kernel: 1, pad: 0),
            shape(2, 32, 32, 3, 24, kernel: 16, stride: 16, pad: 0), shape(2, 16, 16, 4, 8, kernel: 4, stride: 4, pad: 0), shape(2, 9, 9, 8, 8, kernel: 1, stride: 2, pad: 0),
            shape(1, 20, 20, 4, 3, kernel: 5, pad: 2), shape(1, 40, 40, 32, 32, pad: 0), shape(2, 8, 8, 17, 17, pad: 2),
        ])
        func agreesElsewhere(c: cc_conv) {
            var numbers = TestNumbers(5)
            Self.check(c, &numbers)
        }

        @Test("padding below and to the right only, as the autoencoder's downsampling has it")
        func asymmetricPadding() {
            var numbers = TestNumbers(6), c = Self.shape(2, 16, 16, 12, 20, stride: 2)
            (c.padTop, c.padLeft) = (0, 0)
            Self.check(c, &numbers)
        }

        @Test("large transformed filters are made on the way, with the same result")
        func filtersOnTheWay() {
            var numbers = TestNumbers(8)
            var c = Self.shape(1, 8, 8, 400, 360)
            let x = numbers.floats(64 * 400), w = numbers.floats(360 * 9 * 400)
            var quick = [Float](repeating: 0, count: 64 * 360), exact = quick
            cc_conv2d_forward(&c, x, w, nil, nil, &quick)
            c.tight = true
            cc_conv2d_forward(&c, x, w, nil, nil, &exact)
            #expect(relativeError(quick, exact.map(Double.init)) < winogradTolerance)
        }

        @Test("same bits for one thread and for four", arguments: [true, false])
        func independentOfThreads(tight: Bool) {
            var numbers = TestNumbers(9), c = Self.shape(3, 20, 20, 24, 24, tight: tight)
            let x = numbers.floats(3 * 400 * 24), w = numbers.floats(24 * 9 * 24), dy = numbers.floats(3 * 400 * 24)
            let threads = cc_threads()
            defer { cc_set_threads(threads) }
            let results = [1, 4].map { count in
                cc_set_threads(Int32(count))
                var (y, dx, dw, dbias) = (x, x, w, [Float](repeating: 0, count: 24))
                cc_conv2d_forward(&c, x, w, nil, nil, &y)
                cc_conv2d_backward_input(&c, w, dy, &dx, false)
                cc_conv2d_backward_weight(&c, x, dy, &dw, &dbias, false)
                return y + dx + dw + dbias
            }
            #expect(results[0] == results[1])
        }
    }
}
