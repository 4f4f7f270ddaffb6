/// Rows and columns of zeros around a picture.
public struct Padding: Sendable, Equatable {
    public var top: Int, left: Int, bottom: Int, right: Int

    public init(top: Int, left: Int, bottom: Int, right: Int) {
        (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
    }

    /// The same on all four sides.
    public init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }
}

extension Tensor {
    /// Cross-correlation `y[h, w, o] = Σ x[h·stride + i − top, w·stride + j − left, c] weight[o, i, j, c] + bias[o]`.
    ///
    /// - Parameters:
    ///   - weight: `[Cout, kH, kW, Cin]` of any type.
    ///   - bias: `[Cout]`.
    /// - Returns: `[B, H′, W′, Cout]` for `[B, H, W, Cin]`, `H′ = (H + top + bottom − kH) / stride + 1`.
    /// - Gradient: `dx` gathers `dy` through the weight, `dW = Σ dyᵀ patches`, `db = Σ dy`. Keeps `x` only when the weight is trained.
    public func conv2d(_ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Padding = Padding(0)) -> Tensor {
        let g = ConvolutionShape(input: shape, weight: weight.shape, stride: stride, padding: padding)
        require(bias == nil || bias!.shape == [g.outChannels], "conv2d: bias \(bias?.shape ?? []), weight \(weight.shape) is [Cout, kH, kW, Cin]")
        let x = weight.requiresGradient ? detached() : nil, w = weight.detached()
        let y = Tensor(uninitialized: g.outputShape)
        Compute.convolve(g, floats, w.widened().floats, bias: bias?.detached().widened().floats, to: y.floats)
        return Tensor.record("conv2d", y, from: [self, weight] + (bias.map { [$0] } ?? [])) { dy, needs in
            var result: [Tensor?] = [nil, nil, nil]
            if needs[0] {
                let dx = Tensor(uninitialized: g.inputShape)
                Compute.convolveInputGradient(g, dy.floats, w.widened().floats, to: dx.floats)
                result[0] = dx
            }
            if needs[1] {
                let dw = Tensor(uninitialized: w.shape)
                Compute.convolveWeightGradient(g, dy.floats, x!.floats, to: dw.floats)
                result[1] = dw
            }
            if needs.count > 2, needs[2] { result[2] = dy.reshaped([-1, g.outChannels]).summed(to: [g.outChannels]) }
            return result
        }
    }
}

/// The sizes of one convolution, checked once.
struct ConvolutionShape {
    let batch: Int, height: Int, width: Int, inChannels: Int
    let outChannels: Int, kernelHeight: Int, kernelWidth: Int
    let outHeight: Int, outWidth: Int
    let stride: Int, padding: Padding

    init(input: [Int], weight: [Int], stride: Int, padding: Padding) {
        require(input.count == 4 && weight.count == 4 && input[3] == weight[3],
                "conv2d: input \(input) is [B, H, W, Cin], weight \(weight) is [Cout, kH, kW, Cin]")
        (batch, height, width, inChannels) = (input[0], input[1], input[2], input[3])
        (outChannels, kernelHeight, kernelWidth) = (weight[0], weight[1], weight[2])
        let spareHeight = height + padding.top + padding.bottom - kernelHeight, spareWidth = width + padding.left + padding.right - kernelWidth
        require(stride > 0 && spareHeight >= 0 && spareWidth >= 0, "conv2d: input \(input) with \(padding) is smaller than the kernel of \(weight)")
        outHeight = spareHeight / stride + 1
        outWidth = spareWidth / stride + 1
        self.stride = stride
        self.padding = padding
    }

    var inputShape: [Int] { [batch, height, width, inChannels] }
    var outputShape: [Int] { [batch, outHeight, outWidth, outChannels] }
    /// Values that one output pixel sees.
    var patch: Int { kernelHeight * kernelWidth * inChannels }
    /// 1 × 1, nothing around it: a product of matrices.
    var isPointwise: Bool { kernelHeight == 1 && kernelWidth == 1 && stride == 1 && padding == Padding(0) }
    /// Output pixels.
    var rows: Int { batch * outHeight * outWidth }
}

extension Compute {
    static func convolve(_ g: ConvolutionShape, _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, bias: UnsafePointer<Float>?, to y: UnsafeMutablePointer<Float>) {
        if g.isPointwise {
            gemm(g.rows, g.outChannels, g.inChannels, .init(x, stride: g.inChannels), .init(w, stride: g.inChannels, transposed: true), bias: bias, y, cStride: g.outChannels)
            return
        }
        let pixels = patchRows(g)
        Parallel.run(g.rows, grain: pixels) { range in
            let patches = Tensor(uninitialized: [range.count, g.patch])
            gatherPatches(g, x, range, to: patches.floats)
            let target = y + range.lowerBound * g.outChannels
            if let bias { for row in 0..<range.count { (target + row * g.outChannels).update(from: bias, count: g.outChannels) } }
            gemmOnThisThread(range.count, g.outChannels, g.patch, patches.floats, g.patch, false, w, g.patch, true, beta: bias == nil ? 0 : 1, target, g.outChannels)
        }
    }

    /// Output pixels whose patches are laid out at a time: about half a megabyte.
    private static func patchRows(_ g: ConvolutionShape) -> Int {
        max(16, min(512, (1 << 17) / max(1, g.patch)))
    }

    /// Patches of the output pixels `range`, one per row: `[kH, kW, Cin]` each, zeros where the kernel is outside the picture.
    static func gatherPatches(_ g: ConvolutionShape, _ x: UnsafePointer<Float>, _ range: Range<Int>, to patches: UnsafeMutablePointer<Float>) {
        var target = patches
        for pixel in range {
            let b = pixel / (g.outHeight * g.outWidth), rest = pixel % (g.outHeight * g.outWidth)
            let top = rest / g.outWidth * g.stride - g.padding.top, left = rest % g.outWidth * g.stride - g.padding.left
            let first = max(0, -left), last = max(first, min(g.kernelWidth, g.width - left))
            for i in 0..<g.kernelHeight {
                let row = g.kernelWidth * g.inChannels
                if top + i < 0 || top + i >= g.height || first >= g.kernelWidth {
                    target.update(repeating: 0, count: row)
                } else {
                    target.update(repeating: 0, count: first * g.inChannels)
                    let source = x + ((b * g.height + top + i) * g.width + left + first) * g.inChannels
                    (target + first * g.inChannels).update(from: source, count: (last - first) * g.inChannels)
                    (target + last * g.inChannels).update(repeating: 0, count: (g.kernelWidth - last) * g.inChannels)
                }
                target += row
            }
        }
    }

    /// `dx`. With stride 1 it is the convolution of `dy` with the weight turned by 180° and its channels exchanged.
    static func convolveInputGradient(_ g: ConvolutionShape, _ dy: UnsafePointer<Float>, _ w: UnsafePointer<Float>, to dx: UnsafeMutablePointer<Float>) {
        if g.isPointwise {
            gemm(g.rows, g.inChannels, g.outChannels, .init(dy, stride: g.outChannels), .init(w, stride: g.inChannels), dx, cStride: g.inChannels)
        } else if g.stride == 1, g.padding.top < g.kernelHeight, g.padding.left < g.kernelWidth, g.padding.bottom < g.kernelHeight, g.padding.right < g.kernelWidth {
            let turned = turn(g, w)
            let p = Padding(top: g.kernelHeight - 1 - g.padding.top, left: g.kernelWidth - 1 - g.padding.left,
                            bottom: g.kernelHeight - 1 - g.padding.bottom, right: g.kernelWidth - 1 - g.padding.right)
            convolve(ConvolutionShape(input: g.outputShape, weight: turned.shape, stride: 1, padding: p), dy, turned.floats, bias: nil, to: dx)
        } else {
            scatter(g, dy, w, to: dx)
        }
    }

    /// `[Cout, kH, kW, Cin]` → `[Cin, kH, kW, Cout]`, rows and columns reversed.
    private static func turn(_ g: ConvolutionShape, _ w: UnsafePointer<Float>) -> Tensor {
        let positions = g.kernelHeight * g.kernelWidth
        let turned = Tensor(uninitialized: [g.inChannels, g.kernelHeight, g.kernelWidth, g.outChannels])
        let target = turned.floats
        Parallel.run(g.inChannels, grain: max(1, grain / max(1, positions * g.outChannels))) { range in
            for c in range {
                for position in 0..<positions {
                    let row = target + (c * positions + positions - 1 - position) * g.outChannels
                    for o in 0..<g.outChannels { row[o] = w[(o * positions + position) * g.inChannels + c] }
                }
            }
        }
        return turned
    }

    /// `dx` for any stride: patches of gradients are added to where they were gathered from, one picture per thread.
    private static func scatter(_ g: ConvolutionShape, _ dy: UnsafePointer<Float>, _ w: UnsafePointer<Float>, to dx: UnsafeMutablePointer<Float>) {
        let perPicture = g.outHeight * g.outWidth, chunk = patchRows(g)
        Parallel.run(g.batch, grain: 1) { pictures in
            for b in pictures {
                (dx + b * g.height * g.width * g.inChannels).update(repeating: 0, count: g.height * g.width * g.inChannels)
                for start in Swift.stride(from: 0, to: perPicture, by: chunk) {
                    let range = b * perPicture + start..<b * perPicture + min(perPicture, start + chunk)
                    let patches = Tensor(uninitialized: [range.count, g.patch])
                    gemmOnThisThread(range.count, g.patch, g.outChannels, dy + range.lowerBound * g.outChannels, g.outChannels, false, w, g.patch, false, beta: 0, patches.floats, g.patch)
                    addPatches(g, patches.floats, range, to: dx)
                }
            }
        }
    }

    /// The transpose of `gatherPatches`.
    private static func addPatches(_ g: ConvolutionShape, _ patches: UnsafePointer<Float>, _ range: Range<Int>, to x: UnsafeMutablePointer<Float>) {
        var source = patches
        for pixel in range {
            let b = pixel / (g.outHeight * g.outWidth), rest = pixel % (g.outHeight * g.outWidth)
            let top = rest / g.outWidth * g.stride - g.padding.top, left = rest % g.outWidth * g.stride - g.padding.left
            for i in 0..<g.kernelHeight {
                for j in 0..<g.kernelWidth {
                    if top + i >= 0, top + i < g.height, left + j >= 0, left + j < g.width {
                        let target = x + ((b * g.height + top + i) * g.width + left + j) * g.inChannels
                        for c in 0..<g.inChannels { target[c] += source[c] }
                    }
                    source += g.inChannels
                }
            }
        }
    }

    /// `dW[o, i, j, c] = Σ dy[pixel, o] patch[pixel, i, j, c]`, summed over runs of pixels in their order.
    static func convolveWeightGradient(_ g: ConvolutionShape, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, to dw: UnsafeMutablePointer<Float>) {
        if g.isPointwise {
            gemm(g.outChannels, g.inChannels, g.rows, .init(dy, stride: g.outChannels, transposed: true), .init(x, stride: g.inChannels), dw, cStride: g.inChannels)
            return
        }
        guard g.rows > 0 else { return dw.update(repeating: 0, count: g.outChannels * g.patch) }
        let chunk = max(256, min(g.rows, (1 << 21) / max(1, g.patch)))
        for start in Swift.stride(from: 0, to: g.rows, by: chunk) {
            let rows = min(chunk, g.rows - start)
            let patches = Tensor(uninitialized: [rows, g.patch])
            let target = patches.floats
            Parallel.run(rows, grain: 64) { range in
                gatherPatches(g, x, start + range.lowerBound..<start + range.upperBound, to: target + range.lowerBound * g.patch)
            }
            gemm(g.outChannels, g.patch, rows, .init(dy + start * g.outChannels, stride: g.outChannels, transposed: true), .init(target, stride: g.patch),
                 beta: start == 0 ? 0 : 1, dw, cStride: g.patch)
        }
    }
}
