import Checkpoints
import Neural
import TensorCore

/// CLIP's text transformer (Radford et al. 2021, arXiv:2103.00020) as Stable Diffusion uses it: transformers' `CLIPTextModel`,
/// with OpenAI's quick GELU or OpenCLIP's exact one.
///
/// `recomputes` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class CLIPTextEncoder: @unchecked Sendable {
    public let configuration: Configuration
    public let registry: Registry
    /// Whether the backward pass recomputes each layer instead of keeping its intermediate values.
    public var recomputes = false

    let tokenEmbedding: Embedding, positionEmbedding: Embedding
    let layers: [Layer]
    let finalNorm: LayerNorm
    /// "text_projection", without bias: `[B, D]` → `[B, P]`.
    let projection: Linear?

    public init(configuration: Configuration, weights w: Weights) throws {
        try configuration.validate()
        self.configuration = configuration
        registry = w.registry
        let text = w["text_model", optionalUnlessPresent: "embeddings.token_embedding.weight"]
        let small = InitialValue.normal(standardDeviation: 0.02)         // transformers' initial values, factor 1
        tokenEmbedding = try Embedding(
            text["embeddings"]["token_embedding"], count: configuration.vocabSize, width: configuration.hiddenSize, initial: small)
        positionEmbedding = try Embedding(
            text["embeddings"]["position_embedding"], count: configuration.maxPositionEmbeddings, width: configuration.hiddenSize,
            initial: small)
        layers = try (0..<configuration.numHiddenLayers).map { try Layer(text["encoder"]["layers"][$0], configuration) }
        finalNorm = try LayerNorm(
            text["final_layer_norm"], width: configuration.hiddenSize, epsilon: Float(configuration.layerNormEps))
        projection = configuration.projects
            ? try Linear(w["text_projection"], configuration.hiddenSize, configuration.projectionDim, bias: false,
                initial: .normal(standardDeviation: 1 / Float(configuration.hiddenSize).squareRoot())) : nil
        try w.requireEveryKeyUsed { $0.hasSuffix("position_ids") }       // indices 0..<77, stored by releases before 4.31
    }

    /// The text states that the UNet attends to.
    ///
    /// - Parameters:
    ///   - ids: token ids, all rows of one length up to `max_position_embeddings`.
    ///   - clipSkip: n takes the output of the n-th layer from the end; 1 and nil are the last one.
    /// - Returns: `[B, T, D]`, after the final normalisation.
    public func encode(_ ids: [[Int]], clipSkip: Int? = nil) -> Tensor {
        let skip = clipSkip ?? 1
        precondition((1...layers.count).contains(skip), "clip skip \(skip) of \(layers.count) layers")
        return finalNorm(run(ids, layers: layers.count - skip + 1).states)
    }

    /// SDXL's text states of its first encoder: the output of the n-th layer from the end, not normalised, `[B, T, D]`.
    public func states(_ ids: [[Int]], layerFromEnd: Int) -> Tensor {
        precondition((1...layers.count).contains(layerFromEnd), "layer \(layerFromEnd) from the end of \(layers.count)")
        return run(ids, layers: layers.count - layerFromEnd + 1).states
    }

    /// SDXL's text states (the output of the n-th layer from the end, not normalised) and the pooled vector.
    ///
    /// - Returns: states `[B, T, D]`; pooled `[B, P]`: the normalised last state at the first end-of-text token, projected
    ///   where the encoder has a projection.
    public func encodeWithPooled(_ ids: [[Int]], layerFromEnd: Int) -> (states: Tensor, pooled: Tensor) {
        precondition((1...layers.count).contains(layerFromEnd), "layer \(layerFromEnd) from the end of \(layers.count)")
        let (last, kept) = run(ids, layers: layers.count, keeping: layers.count - layerFromEnd + 1)
        return (kept ?? last, pool(finalNorm(last), ids))
    }

    /// - Returns: `[B, P]`, or `[B, D]` without a projection.
    public func pooled(_ ids: [[Int]]) -> Tensor { pool(finalNorm(run(ids, layers: layers.count).states), ids) }

    private func run(_ ids: [[Int]], layers count: Int, keeping kept: Int? = nil) -> (states: Tensor, kept: Tensor?) {
        let length = ids.first?.count ?? 0
        precondition(ids.allSatisfy { $0.count == length } && length <= configuration.maxPositionEmbeddings,
            "token rows of \(ids.map(\.count)) ids, expected equal lengths up to \(configuration.maxPositionEmbeddings)")
        let positions = positionEmbedding(Array(0..<length), shape: [1, length])
        var h = tokenEmbedding(ids.flatMap { $0 }, shape: [ids.count, length]) + positions   // [B, T, D]
        var keptStates: Tensor?
        for (index, layer) in layers.prefix(count).enumerated() {
            h = maybeCheckpointed(recomputes, [h]) { layer($0[0]) }
            if index + 1 == kept { keptStates = h }
        }
        return (h, keptStates)
    }

    /// The state at each row's end of text: `[B, T, D]` → `[B, P]`.
    private func pool(_ states: Tensor, _ ids: [[Int]]) -> Tensor {
        let rows = ids.enumerated().map { row, tokens in
            states.sliced(axis: 0, from: row, to: row + 1).sliced(axis: 1, from: endOfText(tokens), to: endOfText(tokens) + 1)
                .reshaped([1, configuration.hiddenSize])
        }
        let pooled = Tensor.concatenated(rows, axis: 0)
        return projection?(pooled) ?? pooled
    }

    private func endOfText(_ tokens: [Int]) -> Int {
        let end = configuration.eosTokenID == 2 ? tokens.max() : configuration.eosTokenID
        return tokens.firstIndex { $0 == end } ?? 0
    }

    /// Causal self-attention and a feed-forward network, each after normalisation and around a skip.
    struct Layer: Sendable {
        let norm1: LayerNorm
        let query: Linear, key: Linear, value: Linear, output: Linear
        let norm2: LayerNorm
        let first: Linear, second: Linear
        let heads: Int
        let activation: ActivationFunction

        init(_ w: Weights, _ configuration: Configuration) throws(CheckpointError) {
            let width = configuration.hiddenSize, inner = configuration.intermediateSize
            let depth = 1 / Float(2 * configuration.numHiddenLayers).squareRoot(), narrow = 1 / Float(width).squareRoot()
            let inwards = InitialValue.normal(standardDeviation: narrow * depth), outwards = InitialValue.normal(standardDeviation: narrow)
            heads = configuration.numAttentionHeads
            activation = configuration.hiddenAct
            query = try Linear(w["self_attn"]["q_proj"], width, width, initial: inwards)
            key = try Linear(w["self_attn"]["k_proj"], width, width, initial: inwards)
            value = try Linear(w["self_attn"]["v_proj"], width, width, initial: inwards)
            output = try Linear(w["self_attn"]["out_proj"], width, width, initial: outwards)
            norm1 = try LayerNorm(w["layer_norm1"], width: width, epsilon: Float(configuration.layerNormEps))
            first = try Linear(w["mlp"]["fc1"], width, inner, initial: .normal(standardDeviation: 1 / Float(2 * width).squareRoot()))
            second = try Linear(w["mlp"]["fc2"], inner, width, initial: inwards)
            norm2 = try LayerNorm(w["layer_norm2"], width: width, epsilon: Float(configuration.layerNormEps))
        }

        /// - Parameter x: `[B, T, D]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            let n = norm1(x)
            let h = x + output(Tensor.attention(query(n), key(n), value(n), heads: heads, mask: .causal))
            return h + second(activation(first(norm2(h))))
        }
    }
}
