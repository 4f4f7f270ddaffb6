import Checkpoints
import Neural
import TensorCore

/// A residual block and, where the level attends to the text, a transformer after it.
struct UNetLayer: Sendable {
    let resnet: ResnetBlock
    let attention: SpatialTransformer?

    /// - Parameters:
    ///   - x: `[B, H, W, Cin]`.
    /// - Returns: `[B, H, W, Cout]`.
    func callAsFunction(_ x: Tensor, _ conditioning: Conditioning) -> Tensor {
        let cache = conditioning.cache
        return maybeCheckpointed(conditioning.recomputes, [x, conditioning.time, conditioning.context]) { [resnet, attention] inputs in
            let h = resnet(inputs[0], time: inputs[1])
            return attention?(h, context: inputs[2], cache: cache) ?? h
        }
    }
}

/// `CrossAttnDownBlock2D` and `DownBlock2D`: layers, then a halving of the resolution except at the last level.
struct DownBlock: Sendable {
    let layers: [UNetLayer]
    let downsample: Downsample?

    /// - Returns: every layer's output and the halved map, in order; the last one goes on.
    func callAsFunction(_ x: Tensor, _ conditioning: Conditioning) -> [Tensor] {
        var outputs: [Tensor] = []
        for layer in layers { outputs.append(layer(outputs.last ?? x, conditioning)) }
        if let downsample { outputs.append(downsample(outputs.last ?? x)) }
        return outputs
    }
}

/// `UNetMidBlock2DCrossAttn`; `UNetMidBlock2D` has the first layer alone, without attention.
struct MidBlock: Sendable {
    let first: UNetLayer
    let second: ResnetBlock?

    func callAsFunction(_ x: Tensor, _ conditioning: Conditioning) -> Tensor {
        let h = first(x, conditioning)
        return second?(h, time: conditioning.time) ?? h
    }
}

/// `CrossAttnUpBlock2D` and `UpBlock2D`: layers that each take a skip, then a doubling of the resolution except at the last level.
struct UpBlock: Sendable {
    let layers: [UNetLayer]
    let upsample: Upsample?

    /// - Parameters:
    ///   - x: `[B, H, W, C]`.
    ///   - skips: outputs of the way down; each layer takes the last one away.
    func callAsFunction(_ x: Tensor, skips: inout [Tensor], _ conditioning: Conditioning) -> Tensor {
        var h = x
        for layer in layers { h = layer(Tensor.concatenated([h, skips.removeLast()], axis: 3), conditioning) }
        guard let upsample else { return h }
        let next = skips[skips.count - 1].shape
        return upsample(h, to: (next[1], next[2]))
    }
}

/// Builds the blocks of a UNet from its configuration; the scopes passed in are those of the blocks.
struct UNetBlockBuilder {
    let configuration: UNet.Configuration

    func resnet(_ w: Weights, from inputs: Int, to outputs: Int) throws(CheckpointError) -> ResnetBlock {
        try ResnetBlock(
            w, from: inputs, to: outputs, time: configuration.timeWidth, groups: configuration.normNumGroups,
            epsilon: Float(configuration.normEps), activation: configuration.actFn)
    }

    func transformer(_ w: Weights, _ level: UNet.Configuration.Level) throws(CheckpointError) -> SpatialTransformer {
        try SpatialTransformer(w, level: level, groups: configuration.normNumGroups, isLinear: configuration.useLinearProjection)
    }

    func down(
        _ w: Weights, from inputs: Int, _ level: UNet.Configuration.Level, attends: Bool, halves: Bool
    ) throws(CheckpointError) -> DownBlock {
        var layers: [UNetLayer] = []
        for i in 0..<level.layers {
            let resnet = try resnet(w["resnets"][i], from: i == 0 ? inputs : level.channels, to: level.channels)
            layers.append(UNetLayer(resnet: resnet, attention: attends ? try transformer(w["attentions"][i], level) : nil))
        }
        let padding = configuration.downsamplePadding
        return DownBlock(
            layers: layers, downsample: halves ? try Downsample(w["downsamplers"][0], channels: level.channels, padding: padding) : nil)
    }

    func middle(_ w: Weights, _ level: UNet.Configuration.Level, attends: Bool) throws(CheckpointError) -> MidBlock {
        let first = try resnet(w["resnets"][0], from: level.channels, to: level.channels)
        guard attends else { return MidBlock(first: UNetLayer(resnet: first, attention: nil), second: nil) }
        let selfAttending = UNet.Configuration.Level(
            channels: level.channels, layers: level.layers, heads: level.heads, contextWidth: level.contextWidth,
            transformerLayers: level.transformerLayers, onlyCrossAttention: false)   // diffusers' middle block knows no other
        let attention = try transformer(w["attentions"][0], selfAttending)
        return MidBlock(
            first: UNetLayer(resnet: first, attention: attention),
            second: try resnet(w["resnets"][1], from: level.channels, to: level.channels))
    }

    /// - Parameters:
    ///   - previous: channels that come from below.
    ///   - skipped: channels of the last skip, which belongs to the level above.
    func up(
        _ w: Weights, from previous: Int, skipped: Int, _ level: UNet.Configuration.Level, attends: Bool, doubles: Bool
    ) throws(CheckpointError) -> UpBlock {
        var layers: [UNetLayer] = []
        for i in 0...level.layers {
            let inputs = (i == 0 ? previous : level.channels) + (i == level.layers ? skipped : level.channels)
            let resnet = try resnet(w["resnets"][i], from: inputs, to: level.channels)
            layers.append(UNetLayer(resnet: resnet, attention: attends ? try transformer(w["attentions"][i], level) : nil))
        }
        return UpBlock(layers: layers, upsample: doubles ? try Upsample(w["upsamplers"][0], channels: level.channels) : nil)
    }
}
