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
    /// Cross-correlation `y[h, w, o] = Σ x[h·stride + i − top, w·stride + j − left, c] weight[o, c, i, j] + bias[o]`.
    ///
    /// - Parameters:
    ///   - weight: `[Cout, Cin, kH, kW]` of any type.
    ///   - bias: `[Cout]`.
    /// - Returns: `[B, H′, W′, Cout]` for `[B, H, W, Cin]`, `H′ = (H + top + bottom − kH) / stride + 1`.
    /// - Gradient: `dx` gathers `dy` through the weight, `dW = Σ dyᵀ patches`, `db = Σ dy`. Keeps `x` only when the weight is trained.
    public func conv2d(_ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Padding = Padding(0)) -> Tensor {
        let sizes = Tensor.convolution(shape, weight, stride, padding)
        require(bias == nil || bias!.shape == [weight.shape[0]], "conv2d: bias \(bias?.shape ?? []), weight \(weight.shape) is [Cout, Cin, kH, kW]")
        guard isTogether(with: weight, bias) else {
            return conv2d(weight.beside(self, "conv2d"), bias: bias?.beside(self, "conv2d"), stride: stride, padding: padding)
        }
        let x = weight.requiresGradient ? detached() : nil, w = weight.detached(), b = bias?.detached(), shape = shape, type = dtype
        let y = Tensor(uninitialized: [shape[0], sizes.outHeight, sizes.outWidth, weight.shape[0]], like: self)
        device.conv2dForward(sizes, elements, w.elements, bias: b?.elements, y.elements)
        let inputs = [self, weight] + (bias.map { [$0] } ?? []), flops = 2 * Double(y.count) * Double(weight.count / weight.shape[0])
        return Tensor.record("conv2d", y, from: inputs, flops: flops) { dy, needs in
            let trainsBias = needs.count > 2 && needs[2], device = dy.device
            let dx = needs[0] ? Tensor(uninitialized: shape, on: device, type: type) : nil
            let dw = needs[1] ? Tensor(uninitialized: w.shape, like: w) : nil
            let db = trainsBias ? Tensor(uninitialized: [w.shape[0]], on: device) : nil
            if let dx { device.conv2dBackwardInput(sizes, w.elements, dy: dy.elements, dx: dx.elements) }
            if let dw, let x {
                device.conv2dBackwardWeight(sizes, x.elements, dy: dy.elements, dw: dw.elements, dbias: db?.elements)
            } else if let db {
                device.sumAxis(1, dy.shape.dropLast().reduce(1, *), w.shape[0], dy.elements, db.elements)
            }
            return [dx, dw, db]
        }
    }

    /// A convolution of each channel with a kernel of its own, the size kept:
    /// `y[h, w, c] = Σ x[h + i − k/2, w + j − k/2, c] taps[i, j, c] + shift[c]`.
    ///
    /// - Parameters:
    ///   - taps: `[k, k, C]`, k odd; `shift`: `[C]`.
    /// - Returns: `[B, H, W, C]` for `[B, H, W, C]`. No gradient flows through it.
    public func depthwiseConv2d(taps: Tensor, shift: Tensor) -> Tensor {
        let kernel = taps.shape.first ?? 0
        require(rank == 4 && taps.shape == [kernel, kernel, shape[3]] && kernel % 2 == 1 && shift.shape == [shape[3]],
                "depthwiseConv2d: input \(shape) is [B, H, W, C], taps \(taps.shape) are [k, k, C], shift \(shift.shape) is [C]")
        require(!requiresGradient && !taps.requiresGradient && !shift.requiresGradient, "depthwiseConv2d has no gradient")
        let taps = taps.beside(self, "depthwiseConv2d"), shift = shift.beside(self, "depthwiseConv2d"), y = Tensor(uninitialized: shape, like: self)
        let sizes = DepthwiseSizes(batch: shape[0], height: shape[1], width: shape[2], channels: shape[3], kernel: kernel)
        device.depthwiseConv2d(sizes, elements, taps: taps.elements, shift: shift.elements, y.elements)
        return y
    }

    /// The sizes of a convolution, checked.
    private static func convolution(_ input: [Int], _ weight: Tensor, _ stride: Int, _ p: Padding) -> ConvolutionSizes {
        let w = weight.shape
        require(input.count == 4 && w.count == 4 && input[3] == w[1], "conv2d: input \(input) is [B, H, W, Cin], weight \(w) is [Cout, Cin, kH, kW]")
        require(stride > 0 && input[1] + p.top + p.bottom >= w[2] && input[2] + p.left + p.right >= w[3],
                "conv2d: input \(input) with \(p) is smaller than the kernel of weight \(w), or stride \(stride) is below 1")
        return ConvolutionSizes(
            batch: input[0], height: input[1], width: input[2], channels: input[3], outChannels: w[0], kernelHeight: w[2], kernelWidth: w[3],
            stride: stride, padding: p)
    }
}
