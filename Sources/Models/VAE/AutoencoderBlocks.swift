import Checkpoints
import Neural
import TensorCore

extension AutoencoderKL {
    /// Normalisation's epsilon throughout the autoencoder.
    static let epsilon: Float = 1e-6

    /// Self-attention of one head over the cells of the lowest level. Before 2023 the keys were "query", "key", "value",
    /// "proj_attn".
    struct CellAttention: Sendable {
        let norm: GroupNorm
        let toQ: Linear, toK: Linear, toV: Linear, toOut: Linear

        init(_ w: Weights, channels: Int, groups: Int) throws(CheckpointError) {
            norm = try GroupNorm(w["group_norm"], groups: groups, channels: channels, epsilon: epsilon)
            toQ = try Linear(w["to_q", formerly: "query"], channels, channels)
            toK = try Linear(w["to_k", formerly: "key"], channels, channels)
            toV = try Linear(w["to_v", formerly: "value"], channels, channels)
            toOut = try Linear(w["to_out.0", formerly: "proj_attn"], channels, channels)
        }

        /// - Parameter x: `[B, H, W, C]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            let tokens = norm(x).reshaped([x.shape[0], x.shape[1] * x.shape[2], x.shape[3]])
            return toOut(Tensor.attention(toQ(tokens), toK(tokens), toV(tokens), heads: 1)).reshaped(x.shape) + x
        }
    }

    /// Residual block, attention where the configuration has it, residual block.
    struct Middle: Sendable {
        let first: ResnetBlock, attention: CellAttention?, second: ResnetBlock

        init(_ w: Weights, _ configuration: Configuration) throws(CheckpointError) {
            let channels = configuration.blockOutChannels[configuration.blockOutChannels.count - 1]
            first = try resnet(w["resnets"][0], from: channels, to: channels, configuration)
            attention = configuration.midBlockAddAttention
                ? try CellAttention(w["attentions"][0], channels: channels, groups: configuration.normNumGroups) : nil
            second = try resnet(w["resnets"][1], from: channels, to: channels, configuration)
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            let h = first(x, time: nil)
            return second(attention?(h) ?? h, time: nil)
        }
    }

    /// `DownEncoderBlock2D` (with `Downsample`) or `UpDecoderBlock2D` (with `Upsample`).
    struct Level: Sendable {
        let resnets: [ResnetBlock]
        let downsample: Downsample?
        let upsample: Upsample?

        init(
            _ w: Weights, layers: Int, from inputs: Int, to outputs: Int, halves: Bool = false, doubles: Bool = false,
            _ configuration: Configuration
        ) throws(CheckpointError) {
            var resnets: [ResnetBlock] = []
            for i in 0..<layers {
                resnets.append(try resnet(w["resnets"][i], from: i == 0 ? inputs : outputs, to: outputs, configuration))
            }
            self.resnets = resnets
            downsample = halves ? try Downsample(w["downsamplers"][0], channels: outputs, padding: 0) : nil
            upsample = doubles ? try Upsample(w["upsamplers"][0], channels: outputs) : nil
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            var h = x
            for resnet in resnets { h = resnet(h, time: nil) }
            if let downsample { h = downsample(h) }
            return upsample?(h) ?? h
        }
    }

    private static func resnet(
        _ w: Weights, from inputs: Int, to outputs: Int, _ configuration: Configuration
    ) throws(CheckpointError) -> ResnetBlock {
        try ResnetBlock(
            w, from: inputs, to: outputs, time: nil, groups: configuration.normNumGroups, epsilon: epsilon,
            activation: configuration.actFn)
    }

    /// Pixels `[B, H, W, 3]` to moments `[B, h, w, 2Z]`.
    struct PixelEncoder: Sendable {
        let convIn: Conv2d, levels: [Level], middle: Middle, normOut: GroupNorm, convOut: Conv2d

        init(_ w: Weights, _ configuration: Configuration) throws(CheckpointError) {
            let widths = configuration.blockOutChannels, last = widths.count - 1
            convIn = try Conv2d(w["conv_in"], configuration.inChannels, widths[0], kernel: 3, padding: Padding(1))
            var levels: [Level] = []
            for i in 0...last {
                levels.append(try Level(
                    w["down_blocks"][i], layers: configuration.layersPerBlock, from: widths[max(i - 1, 0)], to: widths[i],
                    halves: i < last, configuration))
            }
            self.levels = levels
            middle = try Middle(w["mid_block"], configuration)
            normOut = try GroupNorm(w["conv_norm_out"], groups: configuration.normNumGroups, channels: widths[last], epsilon: epsilon)
            convOut = try Conv2d(w["conv_out"], widths[last], 2 * configuration.latentChannels, kernel: 3, padding: Padding(1))
        }

        func callAsFunction(_ pixels: Tensor, recomputes: Bool) -> Tensor {
            var h = convIn(pixels)
            for level in levels { h = maybeCheckpointed(recomputes, [h]) { level($0[0]) } }
            h = maybeCheckpointed(recomputes, [h]) { [middle] in middle($0[0]) }
            return convOut(normOut.thenSiLU(h))
        }
    }

    /// Latents `[B, h, w, Z]` to pixels `[B, H, W, 3]`.
    struct PixelDecoder: Sendable {
        let convIn: Conv2d, middle: Middle, levels: [Level], normOut: GroupNorm, convOut: Conv2d

        init(_ w: Weights, _ configuration: Configuration) throws(CheckpointError) {
            let widths = Array(configuration.blockOutChannels.reversed()), last = widths.count - 1
            convIn = try Conv2d(w["conv_in"], configuration.latentChannels, widths[0], kernel: 3, padding: Padding(1))
            middle = try Middle(w["mid_block"], configuration)
            var levels: [Level] = []
            for i in 0...last {
                levels.append(try Level(
                    w["up_blocks"][i], layers: configuration.layersPerBlock + 1, from: widths[max(i - 1, 0)], to: widths[i],
                    doubles: i < last, configuration))
            }
            self.levels = levels
            normOut = try GroupNorm(w["conv_norm_out"], groups: configuration.normNumGroups, channels: widths[last], epsilon: epsilon)
            convOut = try Conv2d(w["conv_out"], widths[last], configuration.outChannels, kernel: 3, padding: Padding(1))
        }

        func callAsFunction(_ latents: Tensor, recomputes: Bool) -> Tensor {
            var h = convIn(latents)
            h = maybeCheckpointed(recomputes, [h]) { [middle] in middle($0[0]) }
            for level in levels { h = maybeCheckpointed(recomputes, [h]) { level($0[0]) } }
            return convOut(normOut.thenSiLU(h))
        }
    }
}
