import Checkpoints
import Neural
import TensorCore

/// BERT as a causal decoder with cross-attention to the picture: transformers' `BlipTextLMHeadModel` (Li et al. 2022,
/// arXiv:2201.12086).
struct BLIPTextDecoder: Sendable {
    let words: Embedding, positions: Embedding, embeddingNorm: LayerNorm
    let layers: [Layer]
    let transform: Linear, transformNorm: LayerNorm
    /// Bias of the output layer, whose matrix is the word table.
    let outputBias: Parameter
    let activation: ActivationFunction

    init(_ w: Weights, _ configuration: BLIP.Text) throws(CheckpointError) {
        let width = configuration.hiddenSize, epsilon = Float(configuration.layerNormEps)
        let embeddings = w["bert"]["embeddings"], head = w["cls"]["predictions"]
        activation = configuration.hiddenAct
        words = try Embedding(embeddings["word_embeddings"], count: configuration.vocabSize, width: width, initial: BLIP.initial)
        positions = try Embedding(
            embeddings["position_embeddings"], count: configuration.maxPositionEmbeddings, width: width, initial: BLIP.initial)
        embeddingNorm = try LayerNorm(embeddings["LayerNorm"], width: width, epsilon: epsilon)
        var layers: [Layer] = []
        for i in 0..<configuration.numHiddenLayers { layers.append(try Layer(w["bert"]["encoder"]["layer"][i], configuration)) }
        self.layers = layers
        transform = try Linear(head["transform"]["dense"], width, width, initial: BLIP.initial)
        transformNorm = try LayerNorm(head["transform"]["LayerNorm"], width: width, epsilon: epsilon)
        outputBias = try head.parameter("bias", shape: [configuration.vocabSize], initial: .zeros)
        head.skipTied("decoder.weight")
        head.skipTied("decoder.bias")
    }

    /// - Parameters:
    ///   - ids: token ids, rows of one length T; without a cache they start at position 0.
    ///   - picture: states of the picture encoder `[B, N, Dv]`.
    /// - Returns: logits `[B, T, V]` for the token after each.
    func callAsFunction(_ ids: [[Int]], picture: Tensor, recomputes: Bool) -> Tensor {
        var h = embed(ids, from: 0)
        for layer in layers { h = maybeCheckpointed(recomputes, [h, picture]) { layer($0[0], picture: $0[1]) } }
        return logits(h)
    }

    /// One more stretch of tokens, attending to those in the cache as well.
    ///
    /// - Parameter ids: `[pictures × beams]` rows of one length; more than one token only while the cache is empty.
    /// - Returns: logits `[pictures × beams, V]` after the last token.
    func callAsFunction(_ ids: [[Int]], cache: inout Cache) -> Tensor {
        var h = embed(ids, from: cache.length)
        for index in layers.indices { h = layers[index](h, cache: &cache.layers[index]) }
        cache.length += ids[0].count
        let last = h.sliced(axis: 1, from: h.shape[1] - 1, to: h.shape[1])
        return logits(last).reshaped([ids.count, words.count])
    }

    /// Keys and values of the picture for every layer, and none of the text yet.
    func cache(picture: Tensor) -> Cache {
        Cache(layers: layers.map { layer in
            Cache.Layer(picture: (layer.crossKey(picture), layer.crossValue(picture)), text: nil)
        })
    }

    private func embed(_ ids: [[Int]], from start: Int) -> Tensor {
        let length = ids[0].count
        precondition(start + length <= positions.count, "\(start + length) tokens, the decoder has \(positions.count) positions")
        let places = positions(Array(start..<(start + length)), shape: [1, length])
        return embeddingNorm(words(ids.flatMap { $0 }, shape: [ids.count, length]) + places)
    }

    private func logits(_ states: Tensor) -> Tensor {
        transformNorm(activation(transform(states))).linear(words.weight.tensor, bias: outputBias.tensor)
    }

    /// What the decoder remembers of the tokens so far.
    struct Cache {
        struct Layer {
            /// Of the picture, `[pictures, N, D]` each.
            let picture: (keys: Tensor, values: Tensor)
            /// Of the tokens, `[pictures × beams, T, D]` each.
            var text: (keys: Tensor, values: Tensor)?
        }
        var layers: [Layer]
        var length = 0

        /// Makes row i a copy of row `rows[i]`.
        mutating func select(_ rows: [Int]) {
            for index in layers.indices {
                guard let text = layers[index].text else { continue }
                layers[index].text = (Self.pick(text.keys, rows), Self.pick(text.values, rows))
            }
        }

        private static func pick(_ tensor: Tensor, _ rows: [Int]) -> Tensor {
            let (count, length, width) = (tensor.shape[0], tensor.shape[1], tensor.shape[2])
            return Tensor.embedding(tensor.reshaped([count, length * width]), rows, shape: [rows.count])
                .reshaped([rows.count, length, width])
        }
    }

    /// Causal self-attention, cross-attention, feed-forward network, each with the normalisation after the skip.
    struct Layer: Sendable {
        let query: Linear, key: Linear, value: Linear, output: Linear, norm: LayerNorm
        let crossQuery: Linear, crossKey: Linear, crossValue: Linear, crossOutput: Linear, crossNorm: LayerNorm
        let first: Linear, second: Linear, finalNorm: LayerNorm
        let heads: Int
        let activation: ActivationFunction

        init(_ w: Weights, _ configuration: BLIP.Text) throws(CheckpointError) {
            let width = configuration.hiddenSize, pictureWidth = configuration.encoderHiddenSize
            let epsilon = Float(configuration.layerNormEps)
            let own = w["attention"], cross = w["crossattention"]
            heads = configuration.numAttentionHeads
            activation = configuration.hiddenAct
            query = try Linear(own["self"]["query"], width, width, initial: BLIP.initial)
            key = try Linear(own["self"]["key"], width, width, initial: BLIP.initial)
            value = try Linear(own["self"]["value"], width, width, initial: BLIP.initial)
            output = try Linear(own["output"]["dense"], width, width, initial: BLIP.initial)
            norm = try LayerNorm(own["output"]["LayerNorm"], width: width, epsilon: epsilon)
            crossQuery = try Linear(cross["self"]["query"], width, width, initial: BLIP.initial)
            crossKey = try Linear(cross["self"]["key"], pictureWidth, width, initial: BLIP.initial)
            crossValue = try Linear(cross["self"]["value"], pictureWidth, width, initial: BLIP.initial)
            crossOutput = try Linear(cross["output"]["dense"], width, width, initial: BLIP.initial)
            crossNorm = try LayerNorm(cross["output"]["LayerNorm"], width: width, epsilon: epsilon)
            first = try Linear(w["intermediate"]["dense"], width, configuration.intermediateSize, initial: BLIP.initial)
            second = try Linear(w["output"]["dense"], configuration.intermediateSize, width, initial: BLIP.initial)
            finalNorm = try LayerNorm(w["output"]["LayerNorm"], width: width, epsilon: epsilon)
        }

        /// - Parameters:
        ///   - x: `[B, T, D]`.
        ///   - picture: `[B, N, Dv]`.
        func callAsFunction(_ x: Tensor, picture: Tensor) -> Tensor {
            let own = Tensor.attention(query(x), key(x), value(x), heads: heads, mask: .causal)
            let h = norm(output(own) + x)
            return finish(h, Tensor.attention(crossQuery(h), crossKey(picture), crossValue(picture), heads: heads))
        }

        /// - Parameter x: `[pictures × beams, T, D]`.
        func callAsFunction(_ x: Tensor, cache: inout Cache.Layer) -> Tensor {
            var (keys, values) = (key(x), value(x))
            let isFirst = cache.text == nil
            if let text = cache.text {
                keys = Tensor.concatenated([text.keys, keys], axis: 1)
                values = Tensor.concatenated([text.values, values], axis: 1)
            }
            cache.text = (keys, values)
            let own = Tensor.attention(query(x), keys, values, heads: heads, mask: isFirst ? .causal : .none)
            let h = norm(output(own) + x)
            // The beams of one picture read the same keys: they take the place of tokens.
            let pictures = cache.picture.keys.shape[0], width = h.shape[2]
            let asTokens = crossQuery(h).reshaped([pictures, h.shape[0] * h.shape[1] / pictures, width])
            let seen = Tensor.attention(asTokens, cache.picture.keys, cache.picture.values, heads: heads)
            return finish(h, seen.reshaped(h.shape))
        }

        private func finish(_ h: Tensor, _ seen: Tensor) -> Tensor {
            let g = crossNorm(crossOutput(seen) + h)
            return finalNorm(second(activation(first(g))) + g)
        }
    }
}
