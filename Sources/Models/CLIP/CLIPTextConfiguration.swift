import Neural

extension CLIPTextEncoder {
    /// `config.json` of transformers' `CLIPTextModel` and `CLIPTextModelWithProjection`, with its keys and defaults.
    public struct Configuration: Codable, Equatable, Sendable {
        public var vocabSize = 49408
        public var hiddenSize = 512
        public var intermediateSize = 2048
        public var projectionDim = 512
        public var numHiddenLayers = 12
        public var numAttentionHeads = 8
        public var maxPositionEmbeddings = 77
        public var hiddenAct = ActivationFunction.quickGELU
        public var layerNormEps: Double = 1e-5
        /// 2 in files older than mid 2023, whatever the vocabulary: the pooled state is then that of the largest id.
        public var eosTokenID = 49407
        /// `CLIPTextModelWithProjection` projects the pooled state.
        public var architectures = ["CLIPTextModel"]
        public var modelType = "clip_text_model"

        public init() {}

        enum CodingKeys: String, CodingKey {
            case vocabSize = "vocab_size", hiddenSize = "hidden_size", intermediateSize = "intermediate_size"
            case projectionDim = "projection_dim", numHiddenLayers = "num_hidden_layers", numAttentionHeads = "num_attention_heads"
            case maxPositionEmbeddings = "max_position_embeddings", hiddenAct = "hidden_act", layerNormEps = "layer_norm_eps"
            case eosTokenID = "eos_token_id", architectures, modelType = "model_type"
        }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.vocabSize, into: &vocabSize)
            try c.read(.hiddenSize, into: &hiddenSize)
            try c.read(.intermediateSize, into: &intermediateSize)
            try c.read(.projectionDim, into: &projectionDim)
            try c.read(.numHiddenLayers, into: &numHiddenLayers)
            try c.read(.numAttentionHeads, into: &numAttentionHeads)
            try c.read(.maxPositionEmbeddings, into: &maxPositionEmbeddings)
            try c.read(.hiddenAct, into: &hiddenAct)
            try c.read(.layerNormEps, into: &layerNormEps)
            try c.read(.eosTokenID, into: &eosTokenID)
            try c.read(.architectures, into: &architectures)
            try c.read(.modelType, into: &modelType)
        }

        var projects: Bool { architectures.contains("CLIPTextModelWithProjection") }

        func validate() throws(ConfigurationError) {
            try requirePositive([("vocab_size", [vocabSize]), ("hidden_size", [hiddenSize]), ("intermediate_size", [intermediateSize]),
                ("num_hidden_layers", [numHiddenLayers]), ("num_attention_heads", [numAttentionHeads]),
                ("max_position_embeddings", [maxPositionEmbeddings]), ("projection_dim", [projectionDim])])
            guard hiddenSize % numAttentionHeads == 0 else {
                throw .invalid(key: "num_attention_heads", value: "\(numAttentionHeads)", expected: "a divisor of hidden_size, \(hiddenSize)")
            }
        }
    }
}
