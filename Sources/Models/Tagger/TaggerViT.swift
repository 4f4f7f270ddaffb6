import Checkpoints
import Neural
import TensorCore

/// A vision transformer with a classifier (Dosovitskiy et al. 2021, arXiv:2010.11929): timm's `VisionTransformer`.
struct TaggerViT: Sendable {
    struct Configuration: Sendable {
        var patchSize: Int
        var width: Int, depth: Int, heads: Int
        var mlpRatio = 4.0
        var hasClassToken = true
        /// The class token has no position then.
        var hasBareClassToken = false
        /// The mean of the patches is classified, not the class token.
        var poolsMean = false
        /// The last normalisation comes after the pooling, not before.
        var normalisesPooled = false
        var hasFinalNorm = true
        var hasQKVBias = true
        /// A learnt factor for each feature before each addition.
        var hasLayerScale = false
        var activation = ActivationFunction.gelu

        func changed(by arguments: inout ModelArguments, pool: String?) throws(ConfigurationError) -> Configuration {
            var c = self
            c.patchSize = try arguments.side("patch_size") ?? patchSize
            c.width = try arguments.number("embed_dim") ?? width
            c.depth = try arguments.number("depth") ?? depth
            c.heads = try arguments.number("num_heads") ?? heads
            c.mlpRatio = try arguments.decimal("mlp_ratio") ?? mlpRatio
            c.hasClassToken = try arguments.flag("class_token") ?? hasClassToken
            c.hasBareClassToken = try arguments.flag("no_embed_class") ?? hasBareClassToken
            c.hasQKVBias = try arguments.flag("qkv_bias") ?? hasQKVBias
            c.hasFinalNorm = try arguments.flag("final_norm") ?? hasFinalNorm
            c.hasLayerScale = try arguments.decimal("init_values") != nil
            c.activation = try arguments.activation("act_layer") ?? activation
            guard pool == nil || pool == "avg" || pool == "token" && c.hasClassToken else {
                throw .unsupported(key: "global_pool", value: "\"\(pool ?? "")\"", supported: "\"avg\", and \"token\" with a class token")
            }
            c.poolsMean = pool == "avg"
            c.normalisesPooled = try arguments.flag("fc_norm") ?? c.poolsMean
            try arguments.require("pos_embed", .string("learn"))
            try arguments.require("reg_tokens", 0)
            for key in ["pre_norm", "qk_norm", "pool_include_prefix", "scale_attn_norm", "scale_mlp_norm"] { try arguments.require(key, .bool(false)) }
            try arguments.require("proj_bias", .bool(true))
            try arguments.require("in_chans", 3)
            try arguments.require("norm_layer", .string("layernorm"))
            return c
        }
    }

    let configuration: Configuration
    let patches: Conv2d
    /// `[1, 1, D]` and `[1, tokens, D]`.
    let classToken: Parameter?, positions: Parameter
    let blocks: [Block]
    let norm: LayerNorm?
    let head: Linear

    private static let epsilon: Float = 1e-6                              // timm's own LayerNorm

    init(_ w: Weights, _ c: Configuration, imageSize: Int, classes: Int) throws(CheckpointError) {
        configuration = c
        let cells = (imageSize / c.patchSize) * (imageSize / c.patchSize)
        patches = try Conv2d(w["patch_embed"]["proj"], 3, c.width, kernel: c.patchSize, stride: c.patchSize)
        classToken = c.hasClassToken ? try w.parameter("cls_token", shape: [1, 1, c.width], initial: .zeros) : nil
        let tokens = cells + (c.hasClassToken && !c.hasBareClassToken ? 1 : 0)
        positions = try w.parameter("pos_embed", shape: [1, tokens, c.width], initial: .normal(standardDeviation: 0.02))
        var blocks: [Block] = []
        for i in 0..<c.depth { blocks.append(try Block(w["blocks"][i], c)) }
        self.blocks = blocks
        norm = c.hasFinalNorm ? try LayerNorm(w[c.normalisesPooled ? "fc_norm" : "norm"], width: c.width, epsilon: Self.epsilon) : nil
        head = try Linear(w["head"], c.width, classes)
    }

    /// - Parameter pixels: `[B, H, W, 3]`. - Returns: logits `[B, classes]`.
    func callAsFunction(_ pixels: Tensor) -> Tensor {
        let cells = patches(pixels), batch = cells.shape[0], width = configuration.width       // [B, h, w, D]
        var h = cells.reshaped([batch, cells.shape[1] * cells.shape[2], width])
        if configuration.hasBareClassToken { h = h + positions.tensor }
        if let classToken { h = Tensor.concatenated([classToken.tensor + Tensor.zeros([batch, 1, width]), h], axis: 1) }
        if !configuration.hasBareClassToken { h = h + positions.tensor }
        for block in blocks { h = block(h) }
        if !configuration.normalisesPooled, let norm { h = norm(h) }
        let prefix = classToken == nil ? 0 : 1
        var pooled = configuration.poolsMean
            ? h.sliced(axis: 1, from: prefix, to: h.shape[1]).mean(axis: 1) : h.sliced(axis: 1, from: 0, to: 1).reshaped([batch, width])
        if configuration.normalisesPooled, let norm { pooled = norm(pooled) }
        return head(pooled)
    }

    /// Self-attention and a feed-forward network, each after normalisation and around a skip.
    struct Block: Sendable {
        let norm1: LayerNorm, qkv: Linear, projection: Linear
        let norm2: LayerNorm, first: Linear, second: Linear
        /// "ls1.gamma" and "ls2.gamma", `[D]`.
        let scale1: Parameter?, scale2: Parameter?
        let heads: Int
        let activation: ActivationFunction

        init(_ w: Weights, _ c: Configuration) throws(CheckpointError) {
            let inner = Int(Double(c.width) * c.mlpRatio)
            heads = c.heads
            activation = c.activation
            norm1 = try LayerNorm(w["norm1"], width: c.width, epsilon: TaggerViT.epsilon)
            qkv = try Linear(w["attn"]["qkv"], c.width, 3 * c.width, bias: c.hasQKVBias)
            projection = try Linear(w["attn"]["proj"], c.width, c.width)
            norm2 = try LayerNorm(w["norm2"], width: c.width, epsilon: TaggerViT.epsilon)
            first = try Linear(w["mlp"]["fc1"], c.width, inner)
            second = try Linear(w["mlp"]["fc2"], inner, c.width)
            scale1 = c.hasLayerScale ? try w["ls1"].parameter("gamma", shape: [c.width], initial: .ones) : nil
            scale2 = c.hasLayerScale ? try w["ls2"].parameter("gamma", shape: [c.width], initial: .ones) : nil
        }

        /// - Parameter x: `[B, T, D]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            let parts = qkv(norm1(x)).split(axis: 2, sizes: Array(repeating: x.shape[2], count: 3))
            let seen = projection(Tensor.attention(parts[0], parts[1], parts[2], heads: heads))
            let h = x + (scale1.map { seen * $0.tensor } ?? seen)
            let thought = second(activation(first(norm2(h))))
            return h + (scale2.map { thought * $0.tensor } ?? thought)
        }
    }
}
