import Neural

extension BLIP {
    /// `config.json` of transformers' `BlipForConditionalGeneration`, with its keys and defaults.
    public struct Configuration: Codable, Equatable, Sendable {
        public var vision = Vision()
        public var text = Text()
        public var architectures = ["BlipForConditionalGeneration"]
        public var modelType = "blip"

        public init() {}

        enum CodingKeys: String, CodingKey {
            case vision = "vision_config", text = "text_config", architectures, modelType = "model_type"
        }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.vision, into: &vision)
            try c.read(.text, into: &text)
            try c.read(.architectures, into: &architectures)
            try c.read(.modelType, into: &modelType)
            text.encoderHiddenSize = vision.hiddenSize                   // as BlipConfig does, whatever the file says
        }
    }

    /// The picture encoder's part.
    public struct Vision: Codable, Equatable, Sendable {
        public var hiddenSize = 768
        public var intermediateSize = 3072
        public var numHiddenLayers = 12
        public var numAttentionHeads = 12
        /// Pixels along a side.
        public var imageSize = 384
        public var patchSize = 16
        public var hiddenAct = ActivationFunction.gelu
        public var layerNormEps: Double = 1e-5

        public init() {}

        enum CodingKeys: String, CodingKey {
            case hiddenSize = "hidden_size", intermediateSize = "intermediate_size", numHiddenLayers = "num_hidden_layers"
            case numAttentionHeads = "num_attention_heads", imageSize = "image_size", patchSize = "patch_size"
            case hiddenAct = "hidden_act", layerNormEps = "layer_norm_eps"
        }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.hiddenSize, into: &hiddenSize)
            try c.read(.intermediateSize, into: &intermediateSize)
            try c.read(.numHiddenLayers, into: &numHiddenLayers)
            try c.read(.numAttentionHeads, into: &numAttentionHeads)
            try c.read(.imageSize, into: &imageSize)
            try c.read(.patchSize, into: &patchSize)
            try c.read(.hiddenAct, into: &hiddenAct)
            try c.read(.layerNormEps, into: &layerNormEps)
        }
    }

    /// The caption decoder's part.
    public struct Text: Codable, Equatable, Sendable {
        public var vocabSize = 30524
        public var hiddenSize = 768
        public var encoderHiddenSize = 768
        public var intermediateSize = 3072
        public var numHiddenLayers = 12
        public var numAttentionHeads = 8
        public var maxPositionEmbeddings = 512
        public var hiddenAct = ActivationFunction.gelu
        public var layerNormEps: Double = 1e-12
        /// Starts every caption.
        public var bosTokenID = 30522
        public var padTokenID = 0
        /// Ends every caption.
        public var sepTokenID = 102

        public init() {}

        enum CodingKeys: String, CodingKey {
            case vocabSize = "vocab_size", hiddenSize = "hidden_size", encoderHiddenSize = "encoder_hidden_size"
            case intermediateSize = "intermediate_size", numHiddenLayers = "num_hidden_layers"
            case numAttentionHeads = "num_attention_heads", maxPositionEmbeddings = "max_position_embeddings"
            case hiddenAct = "hidden_act", layerNormEps = "layer_norm_eps", bosTokenID = "bos_token_id", padTokenID = "pad_token_id"
            case sepTokenID = "sep_token_id"
        }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.vocabSize, into: &vocabSize)
            try c.read(.hiddenSize, into: &hiddenSize)
            try c.read(.encoderHiddenSize, into: &encoderHiddenSize)
            try c.read(.intermediateSize, into: &intermediateSize)
            try c.read(.numHiddenLayers, into: &numHiddenLayers)
            try c.read(.numAttentionHeads, into: &numAttentionHeads)
            try c.read(.maxPositionEmbeddings, into: &maxPositionEmbeddings)
            try c.read(.hiddenAct, into: &hiddenAct)
            try c.read(.layerNormEps, into: &layerNormEps)
            try c.read(.bosTokenID, into: &bosTokenID)
            try c.read(.padTokenID, into: &padTokenID)
            try c.read(.sepTokenID, into: &sepTokenID)
        }
    }
}

extension BLIP.Configuration {
    func validate() throws(ConfigurationError) {
        for (part, width, heads) in [
            ("vision_config", vision.hiddenSize, vision.numAttentionHeads), ("text_config", text.hiddenSize, text.numAttentionHeads),
        ] {
            try requirePositive([("\(part).hidden_size", [width]), ("\(part).num_attention_heads", [heads])])
            guard width % heads == 0 else {
                throw .invalid(key: "\(part).num_attention_heads", value: "\(heads)", expected: "a divisor of hidden_size, \(width)")
            }
        }
        try requirePositive([("patch_size", [vision.patchSize]), ("image_size", [vision.imageSize]), ("vocab_size", [text.vocabSize]),
            ("num_hidden_layers", [vision.numHiddenLayers, text.numHiddenLayers]), ("max_position_embeddings", [text.maxPositionEmbeddings])])
        guard vision.imageSize % vision.patchSize == 0 else {
            throw .invalid(key: "image_size", value: "\(vision.imageSize)", expected: "a multiple of patch_size, \(vision.patchSize)")
        }
    }
}
