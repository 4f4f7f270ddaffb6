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
    ///   - size: rows and columns of the result, where they are not `2H` and `2W`: those of the map that was halved.
    func callAsFunction(_ x: Tensor, to size: (height: Int, width: Int)? = nil) -> Tensor {
        var y = x.upsampledNearest(2)
        if let size { y = y.nearest(axis: 1, count: size.height).nearest(axis: 2, count: size.width) }
        return conv(y)
    }
}

extension Tensor {
    /// A doubled axis of 2N places as the nearest neighbours of its N, `floor(i·N / count)`, for another count.
    fileprivate func nearest(axis: Int, count: Int) -> Tensor {
        let doubled = shape[axis]
        if count == doubled { return self }
        if count == doubled - 1 { return sliced(axis: axis, from: 0, to: count) }   // the same neighbours as far as they go
        return Tensor.concatenated((0..<count).map { i in
            let place = 2 * (i * (doubled / 2) / count)
            return sliced(axis: axis, from: place, to: place + 1)
        }, axis: axis)
    }
}
