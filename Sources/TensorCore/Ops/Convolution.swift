import CCompute

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
        let g = Tensor.convolution(shape, weight, stride, padding)
        require(bias == nil || bias!.shape == [weight.shape[0]], "conv2d: bias \(bias?.shape ?? []), weight \(weight.shape) is [Cout, Cin, kH, kW]")
        let x = weight.requiresGradient ? detached() : nil, w = weight.detached(), b = bias?.detached().widened(), shape = shape
        let y = withUnsafePointer(to: g) { g in
            let y = Tensor(uninitialized: [shape[0], cc_conv_out_height(g), cc_conv_out_width(g), weight.shape[0]])
            cc_conv2d_forward(g, floats, w.storage.pointer, b?.floats, nil, y.floats)
            return y
        }
        return Tensor.record("conv2d", y, from: [self, weight] + (bias.map { [$0] } ?? []), flops: 2 * Double(y.count) * Double(weight.count / weight.shape[0])) { dy, needs in
            withUnsafePointer(to: g) { g in
                let trainsBias = needs.count > 2 && needs[2]
                let dx = needs[0] ? Tensor(uninitialized: shape) : nil, dw = needs[1] ? Tensor(uninitialized: w.shape) : nil
                let db = trainsBias ? Tensor(uninitialized: [w.shape[0]]) : nil
                if let dx { cc_conv2d_backward_input(g, w.storage.pointer, dy.floats, dx.floats, false) }
                if let dw, let x {
                    cc_conv2d_backward_weight(g, x.floats, dy.floats, dw.floats, db?.floats, false)
                } else if let db {
                    cc_sum_axis(1, dy.shape.dropLast().reduce(1, *), w.shape[0], dy.floats, db.floats, false)
                }
                return [dx, dw, db]
            }
        }
    }

    /// The sizes of a convolution, checked.
    private static func convolution(_ input: [Int], _ weight: Tensor, _ stride: Int, _ p: Padding) -> cc_conv {
        let w = weight.shape
        require(input.count == 4 && w.count == 4 && input[3] == w[1], "conv2d: input \(input) is [B, H, W, Cin], weight \(w) is [Cout, Cin, kH, kW]")
        require(stride > 0 && input[1] + p.top + p.bottom >= w[2] && input[2] + p.left + p.right >= w[3],
                "conv2d: input \(input) with \(p) is smaller than the kernel of weight \(w), or stride \(stride) is below 1")
        return cc_conv(batch: input[0], height: input[1], width: input[2], channels: input[3], outChannels: w[0], kernelHeight: w[2], kernelWidth: w[3],
                       stride: stride, padTop: p.top, padLeft: p.left, padBottom: p.bottom, padRight: p.right, weightType: weight.dtype.code, tight: false)
    }
}
