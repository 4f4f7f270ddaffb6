import Checkpoints
import Neural
import TensorCore

/// Halves the resolution by a 3×3 convolution of stride 2 (key "conv").
struct Downsample: Sendable {
    let conv: Conv2d
    /// Without symmetric padding, one row below and one column to the right are added instead (the autoencoder's way).
    let padsBottomRight: Bool

    init(_ w: Weights, channels: Int, padding: Int) throws(CheckpointError) {
        padsBottomRight = padding == 0
        conv = try Conv2d(w["conv"], channels, channels, kernel: 3, stride: 2, padding: padding)
    }

    /// - Parameter x: `[B, H, W, C]`. - Returns: `[B, ⌈H/2⌉, ⌈W/2⌉, C]`; halves are rounded down when padded at the bottom right.
    func callAsFunction(_ x: Tensor) -> Tensor { conv(padsBottomRight ? x.paddedBottomRight() : x) }
}

/// Doubles the resolution by repeating cells, then a 3×3 convolution (key "conv").
struct Upsample: Sendable {
    let conv: Conv2d

    init(_ w: Weights, channels: Int) throws(CheckpointError) {
        conv = try Conv2d(w["conv"], channels, channels, kernel: 3, padding: 1)
    }

    /// - Parameters:
    ///   - x: `[B, H, W, C]`.
    ///   - size: rows and columns of the result, `2H` or `2H − 1` and likewise; nil doubles both.
    func callAsFunction(_ x: Tensor, to size: (height: Int, width: Int)? = nil) -> Tensor {
        var y = x.upsampledNearest(2)
        if let size {
            if y.shape[1] != size.height { y = y.sliced(axis: 1, from: 0, to: size.height) }
            if y.shape[2] != size.width { y = y.sliced(axis: 2, from: 0, to: size.width) }
        }
        return conv(y)
    }
}

extension Tensor {
    /// `[B, H, W, C]` → `[B, H+1, W+1, C]` with zeros in the last row and column.
    fileprivate func paddedBottomRight() -> Tensor {
        let (batch, height, width, channels) = (shape[0], shape[1], shape[2], shape[3])
        let tall = Tensor.concatenated([self, .zeros([batch, 1, width, channels])], axis: 1)
        return Tensor.concatenated([tall, .zeros([batch, height + 1, 1, channels])], axis: 2)
    }
}
