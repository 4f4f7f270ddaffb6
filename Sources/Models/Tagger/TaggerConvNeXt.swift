import Checkpoints
import Neural
import TensorCore

/// A convolutional network in a transformer's manner (Liu et al. 2022, arXiv:2201.03545): timm's `ConvNeXt`.
struct TaggerConvNeXt: Sendable {
    struct Configuration: Sendable {
        var depths: [Int], widths: [Int]
        var kernels = [7, 7, 7, 7]
        var patchSize = 4
        /// The feed-forward network is stored as 1×1 convolutions.
        var storesConvolutions = false
        var hasBias = true
        /// Width of a hidden layer before the classifier.
        var headWidth: Int?
        var epsilon: Float = 1e-6
        var activation = ActivationFunction.gelu

        func changed(by arguments: inout ModelArguments, pool: String?) throws(ConfigurationError) -> Configuration {
            var c = self
            c.depths = try arguments.numbers("depths") ?? depths
            c.widths = try arguments.numbers("dims") ?? widths
            c.kernels = try arguments.numbers("kernel_sizes", each: 4) ?? kernels
            c.patchSize = try arguments.side("patch_size") ?? patchSize
            c.storesConvolutions = try arguments.flag("conv_mlp") ?? storesConvolutions
            _ = try arguments.decimal("ls_init_value")                    // where training starts
            c.hasBias = try arguments.flag("conv_bias") ?? hasBias
            c.headWidth = try arguments.number("head_hidden_size")
            c.epsilon = try arguments.decimal("norm_eps").map { Float($0) } ?? epsilon
            c.activation = try arguments.activation("act_layer") ?? activation
            guard pool == nil || pool == "avg" else { throw .unsupported(key: "global_pool", value: "\"\(pool ?? "")\"", supported: "\"avg\"") }
            try arguments.require("stem_type", .string("patch"))
            try arguments.require("output_stride", 32)
            for key in ["head_norm_first", "use_grn"] { try arguments.require(key, .bool(false)) }
            try arguments.require("in_chans", 3)
            try arguments.require("norm_layer", .string("layernorm"), .string("layernorm2d"))
            return c
        }
    }

    let stem: Conv2d, stemNorm: LayerNorm
    let stages: [Stage]
    let headNorm: LayerNorm, hidden: Linear?, head: Linear

    init(_ w: Weights, _ c: Configuration, classes: Int) throws(CheckpointError) {
        stem = try Conv2d(w["stem"][0], 3, c.widths[0], kernel: c.patchSize, stride: c.patchSize, bias: c.hasBias)
        stemNorm = try LayerNorm(w["stem"][1], width: c.widths[0], epsilon: c.epsilon)
        var stages: [Stage] = []
        for i in 0..<4 { stages.append(try Stage(w["stages"][i], c, stage: i)) }
        self.stages = stages
        headNorm = try LayerNorm(w["head"]["norm"], width: c.widths[3], epsilon: c.epsilon)
        hidden = try c.headWidth.map { width throws(CheckpointError) in try Linear(w["head"]["pre_logits"]["fc"], c.widths[3], width) }
        head = try Linear(w["head"]["fc"], c.headWidth ?? c.widths[3], classes)
    }

    /// - Parameter pixels: `[B, H, W, 3]`. - Returns: logits `[B, classes]`.
    func callAsFunction(_ pixels: Tensor) -> Tensor {
        var h = stemNorm(stem(pixels))
        for stage in stages { h = stage(h) }
        let pooled = headNorm(h.mean(axis: 1).mean(axis: 1))             // [B, C]
        return head(hidden.map { $0(pooled).gelu() } ?? pooled)
    }

    /// Half the size with more channels, except for the first stage; then blocks.
    struct Stage: Sendable {
        let norm: LayerNorm?, reduction: Conv2d?
        let blocks: [Block]

        init(_ w: Weights, _ c: Configuration, stage: Int) throws(CheckpointError) {
            let width = c.widths[stage], former = c.widths[max(stage - 1, 0)]
            norm = stage > 0 ? try LayerNorm(w["downsample"][0], width: former, epsilon: c.epsilon) : nil
            reduction = stage > 0 ? try Conv2d(w["downsample"][1], former, width, kernel: 2, stride: 2, bias: c.hasBias) : nil
            var blocks: [Block] = []
            for i in 0..<c.depths[stage] { blocks.append(try Block(w["blocks"][i], c, width: width, kernel: c.kernels[stage])) }
            self.blocks = blocks
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            var h = x
            if let norm, let reduction { h = reduction(norm(h)) }
            for block in blocks { h = block(h) }
            return h
        }
    }

    /// A depthwise convolution, a normalisation and a feed-forward network around a skip.
    struct Block: Sendable {
        let spatial: DepthwiseConv2d, norm: LayerNorm
        let mlp: FeedForward
        /// `[C]`.
        let scale: Parameter

        init(_ w: Weights, _ c: Configuration, width: Int, kernel: Int) throws(CheckpointError) {
            spatial = try DepthwiseConv2d(w["conv_dw"], width, kernel: kernel, bias: c.hasBias)
            norm = try LayerNorm(w["norm"], width: width, epsilon: c.epsilon)
            mlp = try FeedForward(w["mlp"], c, width: width)
            scale = try w.parameter("gamma", shape: [width], initial: .constant(1e-6))
        }

        /// - Parameter x: `[B, H, W, C]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            x + mlp(norm(spatial(x))) * scale.tensor
        }
    }

    /// Four times the width and back.
    struct FeedForward: Sendable {
        private enum Layers: Sendable { case linear(Linear, Linear), convolutions(Conv2d, Conv2d) }
        private let layers: Layers
        private let activation: ActivationFunction

        init(_ w: Weights, _ c: Configuration, width: Int) throws(CheckpointError) {
            activation = c.activation
            layers = c.storesConvolutions
                ? .convolutions(try Conv2d(w["fc1"], width, 4 * width, kernel: 1), try Conv2d(w["fc2"], 4 * width, width, kernel: 1))
                : .linear(try Linear(w["fc1"], width, 4 * width), try Linear(w["fc2"], 4 * width, width))
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            switch layers {
            case .linear(let first, let second): second(activation(first(x)))
            case .convolutions(let first, let second): second(activation(first(x)))
            }
        }
    }
}

/// A convolution of each channel with its own kernel, the size kept: "weight" is `[C, 1, k, k]`, "bias" `[C]`.
///
/// For models that are used and not trained: no gradient goes through it.
struct DepthwiseConv2d: Sendable {
    let weight: Parameter, bias: Parameter?
    /// `[k, k, C]`, so that the innermost loop runs over channels, and `[C]`.
    private let taps: Tensor, shift: Tensor

    init(_ w: Weights, _ channels: Int, kernel: Int, bias hasBias: Bool) throws(CheckpointError) {
        let fanIn = InitialValue.fanIn(kernel * kernel)
        weight = try w.parameter("weight", shape: [channels, 1, kernel, kernel], initial: fanIn)
        bias = hasBias ? try w.parameter("bias", shape: [channels], initial: fanIn) : nil
        taps = weight.value.converted(to: .float32).reshaped([channels, kernel, kernel]).transposed([1, 2, 0])
        shift = bias?.value.converted(to: .float32) ?? .zeros([channels])
    }

    /// - Parameter x: `[B, H, W, C]`. - Returns: the same shape.
    func callAsFunction(_ x: Tensor) -> Tensor { x.depthwiseConv2d(taps: taps, shift: shift) }
}
