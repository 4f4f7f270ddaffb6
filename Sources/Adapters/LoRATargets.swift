import Neural

/// The part of a model that a layer belongs to, by Kohya's prefixes.
public enum AdapterPart: String, Codable, Sendable, CaseIterable {
    case textEncoder = "lora_te"
    /// SDXL's second one.
    case textEncoder2 = "lora_te2"
    case unet = "lora_unet"

    /// Kohya's name of a layer: the part's prefix and the module path with `_` for `.`.
    public func name(ofLayer path: String) -> String {
        rawValue + "_" + LayerNaming.underscored(path)
    }

    /// The part that a name's prefix tells.
    init(name: String) {
        self = name.hasPrefix(AdapterPart.unet.rawValue) ? .unet : name.hasPrefix(AdapterPart.textEncoder2.rawValue) ? .textEncoder2 : .textEncoder
    }
}

/// Which of the UNet's layers are adapted.
public enum UNetTargets: String, Codable, Sendable, CaseIterable {
    case none
    /// Queries, keys, values and outputs of self- and cross-attention.
    case attention
    /// Every linear layer and 1×1 convolution of the transformers: sd-scripts' `networks.lora`.
    case transformer

    func includes(_ path: String, _ kind: AdaptableKind) -> Bool {
        let parts = path.split(separator: ".")
        guard parts.contains("attentions"), kind.kernel == 1 else { return false }
        switch self {
        case .none: return false
        case .attention: return parts.contains("attn1") || parts.contains("attn2")
        case .transformer: return true
        }
    }
}

/// Which of the text encoder's layers are adapted.
public enum TextEncoderTargets: String, Codable, Sendable, CaseIterable {
    case none
    /// Attention projections and both linear layers of every MLP.
    case all

    func includes(_ path: String) -> Bool {
        let parts = path.split(separator: ".")
        return self == .all && (parts.contains("self_attn") || parts.contains("mlp"))
    }
}

extension AdaptableKind {
    /// Side of the kernel; 1 for a linear layer.
    public var kernel: Int {
        switch self {
        case .linear: 1
        case .convolution(_, _, let kernel, _, _): kernel
        }
    }
}

/// The shape of a new adapter.
public struct LoRASpecification: Sendable, Equatable, Codable {
    public var rank: Int
    /// nil: equal to the rank.
    public var alpha: Float?
    public var unet: UNetTargets
    public var textEncoder: TextEncoderTargets

    public static let rankRange = 1...1024

    public init(rank: Int = 8, alpha: Float? = nil, unet: UNetTargets = .transformer, textEncoder: TextEncoderTargets = .none) {
        self.rank = rank
        self.alpha = alpha
        self.unet = unet
        self.textEncoder = textEncoder
    }

    /// α with its default put in; Kohya reads 0 as "the rank", too.
    public var effectiveAlpha: Float { alpha.map { $0 == 0 ? Float(rank) : $0 } ?? Float(rank) }

    /// - Throws: `AdapterError` naming the value, the range and the nearest allowed one.
    public func validate() throws(AdapterError) {
        guard Self.rankRange.contains(rank) else {
            throw .rankOutOfRange(rank, allowed: Self.rankRange, nearest: min(max(rank, Self.rankRange.lowerBound), Self.rankRange.upperBound))
        }
        guard effectiveAlpha > 0, effectiveAlpha.isFinite else { throw .invalidAlpha(effectiveAlpha) }
        guard unet != .none || textEncoder != .none else { throw .noTargets }
    }
}
