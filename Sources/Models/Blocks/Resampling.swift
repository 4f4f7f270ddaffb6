import Checkpoints
import Neural
import TensorCore

/// Halves the resolution by a 3×3 convolution of stride 2 (key "conv").
struct Downsample: Sendable {
    let conv: Conv2d

    /// - Parameter padding: 1 on all sides, or 0, which adds a row below and a column to the right (the autoencoder's way).
    init(_ w: Weights, channels: Int, padding: Int) throws(CheckpointError) {
        let sides = padding == 0 ? Padding(top: 0, left: 0, bottom: 1, right: 1) : Padding(padding)
        conv = try Conv2d(w["conv"], channels, channels, kernel: 3, stride: 2, padding: sides)
    }

    /// - Parameter x: `[B, H, W, C]`. - Returns: `[B, H', W', C]`, half the size (rounded up with padding on all sides, else down).
    func callAsFunction(_ x: Tensor) -> Tensor { conv(x) }
}

/// Doubles the resolution by repeating cells, then a 3×3 convolution (key "conv").
struct Upsample: Sendable {
    let conv: Conv2d

    init(_ w: Weights, channels: Int) throws(CheckpointError) {
        conv = try Conv2d(w["conv"], channels, channels, kernel: 3, padding: Padding(1))
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
