import Neural

/// The formula by which a fresh network changes its layers.
public enum NetworkKind: Sendable, Equatable, Codable {
    /// LoRA on linear layers and 1×1 convolutions (`networks.lora`).
    case standard
    /// LoRA on larger kernels, too (`networks.lora` with `conv_dim`).
    case locon
    case loha
    /// - Parameters:
    ///   - factor: wanted side of the first half; −1 splits as evenly as can be.
    ///   - decomposesBoth: whether the first half is a product, too, where the rank allows.
    case lokr(factor: Int = -1, decomposesBoth: Bool = false)
    /// - Parameter unit: ranks trained together; divides the rank.
    case dylora(unit: Int = 1, rule: DyLoRA.Rule = .whole)

    /// What people call it.
    public var title: String {
        switch self {
        case .standard: "LoRA"
        case .locon: "LoCon"
        case .loha: "LoHa"
        case .lokr: "LoKr"
        case .dylora: "DyLoRA"
        }
    }

    /// Kohya's `network_module`.
    public var networkModule: String {
        switch self {
        case .standard, .locon: "networks.lora"
        case .loha, .lokr: "lycoris.kohya"
        case .dylora(_, .whole): "networks.dylora"
        case .dylora(_, .prefix): "lycoris.kohya"
        }
    }

    /// Kohya's `network_args` apart from the convolutions'.
    var arguments: [(name: String, value: String)] {
        switch self {
        case .standard, .locon: []
        case .loha: [("algo", "loha")]
        case .lokr(let factor, let decomposesBoth): [("algo", "lokr"), ("factor", "\(factor)"), ("decompose_both", decomposesBoth ? "True" : "False")]
        case .dylora(let unit, .whole): [("unit", "\(unit)")]
        case .dylora(let unit, .prefix): [("algo", "dylora"), ("block_size", "\(unit)")]
        }
    }
}

/// The shape of a new network of any kind.
public struct NetworkSpecification: Sendable, Equatable, Codable {
    public var kind: NetworkKind
    /// Rank, alpha and targets; `unet` decides which transformers' layers are adapted.
    public var base: LoRASpecification
    /// Rank and alpha (nil: equal to it) of kernels larger than 1×1, Kohya's `conv_dim` and `conv_alpha`. nil leaves these layers
    /// and the residual blocks alone, except for LoCon, which takes those of `base`.
    public var convolution: Convolution?
    /// Cores between the factors of larger kernels (LyCORIS' `use_tucker`), for LoHa and LoKr.
    public var usesCores: Bool

    public struct Convolution: Sendable, Equatable, Codable {
        public var rank: Int
        public var alpha: Float?
        public init(rank: Int, alpha: Float? = nil) {
            self.rank = rank
            self.alpha = alpha
        }
    }

    public init(_ kind: NetworkKind = .standard, _ base: LoRASpecification = LoRASpecification(), convolution: Convolution? = nil, usesCores: Bool = false) {
        self.kind = kind
        self.base = base
        self.convolution = convolution
        self.usesCores = usesCores
    }

    var effectiveConvolution: Convolution? {
        let all = convolution ?? (kind == .locon ? Convolution(rank: base.rank, alpha: base.alpha) : nil)
        return all?.rank == 0 ? nil : all
    }

    /// Rank and alpha of layers with larger kernels; nil leaves them alone.
    public var kernelSize: AdapterSize? {
        effectiveConvolution.map { AdapterSize(rank: $0.rank, alpha: LoRASpecification(rank: $0.rank, alpha: $0.alpha).effectiveAlpha) }
    }

    /// Rank and alpha of a layer of the UNet; nil leaves it alone. sd-scripts' rules: inside the transformers, and with
    /// `conv_dim` inside residual blocks, halvings and doublings, too.
    func size(ofUNet path: String, _ kind: AdaptableKind) -> (rank: Int, alpha: Float)? {
        guard base.unet != .none else { return nil }
        let parts = path.split(separator: ".")
        let isInBlocks = ["resnets", "downsamplers", "upsamplers"].contains { parts.contains($0) }
        guard let kernelSize, isInBlocks else {
            return base.unet.includes(path, kind) ? (base.rank, base.effectiveAlpha) : nil
        }
        return kind.kernel == 1 ? (base.rank, base.effectiveAlpha) : (kernelSize.rank, kernelSize.alpha)
    }

    /// - Throws: `AdapterError` naming the value, the range and the nearest allowed one.
    public func validate() throws(AdapterError) {
        try base.validate()
        if let convolution = effectiveConvolution { try LoRASpecification(rank: convolution.rank, alpha: convolution.alpha).validate() }
        if case .dylora(let unit, _) = kind {
            for rank in [base.rank, effectiveConvolution?.rank ?? base.rank] where unit < 1 || rank % unit != 0 {
                throw .unitDoesNotDivide(unit: unit, rank: rank)
            }
        }
    }
}

extension NetworkSpecification {
    /// What a file's metadata says of the network and the family of its base model, as Kohya's scripts write it; the trainer adds
    /// what it knows of the run.
    /// - Parameter baseVersion: `sd_v1`, `sd_v2`, `sd_v2_v` or `sdxl_base_v1-0`.
    public func metadata(baseVersion: String) -> [String: String] {
        let isXL = baseVersion.hasPrefix("sdxl")
        let architecture = switch baseVersion {
        case "sd_v2": "stable-diffusion-v2-512/lora"
        case "sd_v2_v": "stable-diffusion-v2-768-v/lora"
        default: isXL ? "stable-diffusion-xl-v1-base/lora" : "stable-diffusion-v1/lora"
        }
        var entries = [
            "ss_network_module": kind.networkModule, "ss_network_dim": "\(base.rank)", "ss_network_alpha": "\(base.effectiveAlpha)",
            "ss_base_model_version": baseVersion, "ss_v2": baseVersion.hasPrefix("sd_v2") ? "True" : "False", "modelspec.sai_model_spec": "1.0.1",
            "modelspec.architecture": architecture, "modelspec.prediction_type": baseVersion == "sd_v2_v" ? "v" : "epsilon",
            "modelspec.implementation": isXL ? "https://github.com/Stability-AI/generative-models" : "diffusers", "modelspec.implementation_version": "LoRALab",
        ]
        var arguments = kind.arguments
        if let kernelSize { arguments += [("conv_dim", "\(kernelSize.rank)"), ("conv_alpha", "\(kernelSize.alpha)")] }
        if usesCores { arguments.append(("use_tucker", "True")) }
        if !arguments.isEmpty { entries["ss_network_args"] = "{" + arguments.map { "\"\($0.name)\": \"\($0.value)\"" }.joined(separator: ", ") + "}" }
        return entries
    }
}
