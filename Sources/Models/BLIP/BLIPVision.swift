import Checkpoints
import Neural
import TensorCore

/// A vision transformer over patches and one class token (Dosovitskiy et al. 2021, arXiv:2010.11929): transformers'
/// `BlipVisionModel`.
struct BLIPVisionEncoder: Sendable {
    let patches: Conv2d
    /// `[1, 1, D]` and `[1, 1 + patches, D]`.
    let classToken: Parameter, positions: Parameter
    let layers: [Layer]
    let finalNorm: LayerNorm

    init(_ w: Weights, _ configuration: BLIP.Vision) throws(CheckpointError) {
        let width = configuration.hiddenSize, side = configuration.imageSize / configuration.patchSize
        let embeddings = w["embeddings"]
        classToken = try embeddings.parameter("class_embedding", shape: [1, 1, width], initial: BLIP.initial)
        positions = try embeddings.parameter("position_embedding", shape: [1, 1 + side * side, width], initial: BLIP.initial)
        patches = try Conv2d(
            embeddings["patch_embedding"], 3, width, kernel: configuration.patchSize, stride: configuration.patchSize,
            initial: BLIP.initial)
        var layers: [Layer] = []
        for i in 0..<configuration.numHiddenLayers { layers.append(try Layer(w["encoder"]["layers"][i], configuration)) }
        self.layers = layers
        finalNorm = try LayerNorm(w["post_layernorm"], width: width, epsilon: Float(configuration.layerNormEps))
    }

    /// - Parameter pixels: `[B, H, W, 3]`, normalised as the preprocessor says. - Returns: `[B, 1 + patches, D]`.
    func callAsFunction(_ pixels: Tensor, recomputes: Bool) -> Tensor {
        let batch = pixels.shape[0], cells = patches(pixels)             // [B, h, w, D]
        let tokens = cells.reshaped([batch, cells.shape[1] * cells.shape[2], cells.shape[3]])
        let start = classToken.tensor + Tensor.zeros([batch, 1, cells.shape[3]])
        var h = Tensor.concatenated([start, tokens], axis: 1) + positions.tensor
        for layer in layers { h = maybeCheckpointed(recomputes, [h]) { layer($0[0]) } }
        return finalNorm(h)
    }

    /// Self-attention with one fused projection, and a feed-forward network, each after normalisation and around a skip.
    struct Layer: Sendable {
        let norm1: LayerNorm, qkv: Linear, projection: Linear
        let norm2: LayerNorm, first: Linear, second: Linear
        let heads: Int
        let activation: ActivationFunction

        init(_ w: Weights, _ configuration: BLIP.Vision) throws(CheckpointError) {
            let width = configuration.hiddenSize, epsilon = Float(configuration.layerNormEps)
            heads = configuration.numAttentionHeads
            activation = configuration.hiddenAct
            qkv = try Linear(w["self_attn"]["qkv"], width, 3 * width, initial: BLIP.initial)
            projection = try Linear(w["self_attn"]["projection"], width, width, initial: BLIP.initial)
            norm1 = try LayerNorm(w["layer_norm1"], width: width, epsilon: epsilon)
            first = try Linear(w["mlp"]["fc1"], width, configuration.intermediateSize, initial: BLIP.initial)
            second = try Linear(w["mlp"]["fc2"], configuration.intermediateSize, width, initial: BLIP.initial)
            norm2 = try LayerNorm(w["layer_norm2"], width: width, epsilon: epsilon)
        }

        /// - Parameter x: `[B, T, D]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            let parts = qkv(norm1(x)).split(axis: 2, sizes: Array(repeating: x.shape[2], count: 3))
            let h = x + projection(Tensor.attention(parts[0], parts[1], parts[2], heads: heads))
            return h + second(activation(first(norm2(h))))
        }
    }
}
