import Checkpoints
import Neural
import TensorCore

/// The KL-regularised autoencoder between pictures and latents: diffusers' `AutoencoderKL` (arXiv:2112.10752).
///
/// `recomputes` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class AutoencoderKL: @unchecked Sendable {
    public let configuration: Configuration
    public let registry: Registry
    /// Whether the backward pass recomputes each block instead of keeping its intermediate values.
    public var recomputes = false

    let encoder: PixelEncoder, decoder: PixelDecoder
    let quant: Conv2d?, postQuant: Conv2d?

    /// - Throws: `ConfigurationError` for parts that are not built here; `CheckpointError` for missing keys and other shapes.
    public init(configuration: Configuration, weights w: Weights) throws {
        try configuration.validate()
        let latents = configuration.latentChannels
        self.configuration = configuration
        registry = w.registry
        encoder = try PixelEncoder(w["encoder"], configuration)
        decoder = try PixelDecoder(w["decoder"], configuration)
        quant = configuration.useQuantConv ? try Conv2d(w["quant_conv"], 2 * latents, 2 * latents, kernel: 1) : nil
        postQuant = configuration.usePostQuantConv ? try Conv2d(w["post_quant_conv"], latents, latents, kernel: 1) : nil
        try w.requireEveryKeyUsed()
    }

    /// - Parameter pixels: `[B, H, W, 3]` in -1...1, H and W multiples of `configuration.scale`.
    /// - Returns: the distribution of the unscaled latents `[B, h, w, Z]`.
    public func encode(_ pixels: Tensor) -> DiagonalGaussian {
        var moments = encoder(pixels, recomputes: recomputes)            // [B, h, w, 2Z]
        if let quant { moments = quant(moments) }
        let parts = moments.split(axis: 3, sizes: [configuration.latentChannels, configuration.latentChannels])
        return DiagonalGaussian(mean: parts[0], logVariance: parts[1].clamped(-30, 20))
    }

    /// - Parameter latents: `[B, h, w, Z]`, unscaled.
    /// - Returns: pixels `[B, H, W, 3]`, about -1...1.
    public func decode(_ latents: Tensor) -> Tensor {
        decoder(postQuant?(latents) ?? latents, recomputes: recomputes)
    }

    /// Decodes square tiles one after the other, so that the memory for intermediate values is that of one tile, whatever the
    /// picture's size. Tiles share a quarter of their side, over which one fades into the next. Without gradients: for pictures that
    /// are looked at. Each tile has its own normalisation, so colours may differ from `decode`'s by a shade.
    ///
    /// - Parameters:
    ///   - latents: `[B, h, w, Z]`, unscaled.
    ///   - tileSide: latent cells along a tile's side, 8 or more; 64 is 512 pixels for Stable Diffusion.
    /// - Returns: pixels `[B, H, W, 3]`.
    public func decode(_ latents: Tensor, tileSide: Int) -> Tensor {
        precondition(tileSide >= 8, "tiles of \(tileSide) latent cells, expected 8 or more")
        let (height, width) = (latents.shape[1], latents.shape[2])
        guard max(height, width) > tileSide else { return withoutGradients { decode(latents) } }
        let rows = TileAxis(length: height, side: tileSide), columns = TileAxis(length: width, side: tileSide)
        let scale = configuration.scale
        return withoutGradients {
            var pixels = Tensor.zeros([latents.shape[0], height * scale, width * scale, configuration.outChannels], on: latents.device)
            for (row, vertical) in zip(rows.tiles, rows.weights(scale: scale)) {
                for (column, horizontal) in zip(columns.tiles, columns.weights(scale: scale)) {
                    let tile = decode(latents.sliced(axis: 1, from: row.lowerBound, to: row.upperBound)
                        .sliced(axis: 2, from: column.lowerBound, to: column.upperBound))
                    let weights = Tensor(vertical, shape: [1, vertical.count, 1, 1]) * Tensor(horizontal, shape: [1, 1, horizontal.count, 1])
                    pixels.add(tile * weights.moved(to: tile.device), atRow: row.lowerBound * scale, column: column.lowerBound * scale)
                }
            }
            return pixels
        }
    }
}

/// Where tiles lie along one axis of a map, and how much each counts at each place.
struct TileAxis {
    let tiles: [Range<Int>]
    /// Cells that neighbours share, or more.
    private let shared: Int

    /// - Parameters:
    ///   - length: cells of the map.
    ///   - side: cells of a tile.
    init(length: Int, side: Int) {
        shared = side / 4
        guard length > side else { tiles = [0..<length]; return }
        let step = side - shared, count = (length - side + step - 1) / step + 1
        tiles = (0..<count).map { i in
            let start = i * (length - side) / (count - 1)
            return start..<(start + side)
        }
    }

    /// Weights of each tile's pixels, `scale` for each cell: rising evenly from the edge over the shared cells, and at each place
    /// divided by the sum over the tiles there.
    func weights(scale: Int) -> [[Float]] {
        let fade = Float(max(shared, 1) * scale), last = tiles.count - 1
        var sums = [Float](repeating: 0, count: tiles[last].upperBound * scale)
        let raw = tiles.enumerated().map { index, tile in
            (0..<tile.count * scale).map { pixel -> Float in
                let rising = index == 0 ? 1 : min(1, (Float(pixel) + 0.5) / fade)
                let falling = index == last ? 1 : min(1, (Float(tile.count * scale - pixel) - 0.5) / fade)
                sums[tile.lowerBound * scale + pixel] += rising * falling
                return rising * falling
            }
        }
        return zip(tiles, raw).map { tile, weights in weights.enumerated().map { $1 / sums[tile.lowerBound * scale + $0] } }
    }
}

/// A normal distribution for each latent value, independent of the others.
public struct DiagonalGaussian: Sendable {
    /// `[B, h, w, Z]`.
    public let mean: Tensor
    /// `[B, h, w, Z]`, kept in -30...20.
    public let logVariance: Tensor

    public init(mean: Tensor, logVariance: Tensor) {
        self.mean = mean
        self.logVariance = logVariance
    }

    /// `mean + exp(logVariance / 2) · noise`.
    public func sample(noise: Tensor) -> Tensor { mean + (logVariance * 0.5).exp() * noise }

    /// Divergence from the standard normal, `½ Σ (μ² + σ² − 1 − log σ²)` for each picture, averaged over pictures
    /// (Kingma and Welling 2014, arXiv:1312.6114, appendix B).
    public func divergenceFromStandardNormal() -> Tensor {
        let terms = mean.square() + logVariance.exp() - logVariance - 1
        return terms.sum() * (0.5 / Float(max(mean.shape[0], 1)))
    }
}
