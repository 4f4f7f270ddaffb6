import Checkpoints
import Neural

/// The parts of a base model that adapters go into. nil for a part that is not loaded.
public struct AdaptableModel: Sendable {
    public let unet: Registry?
    public let textEncoder: Registry?
    /// SDXL's second one.
    public let textEncoder2: Registry?
    public let naming: LayerNaming

    /// The family follows from the parts: SDXL's UNet has an added embedding, its text encoders are two.
    public init(unet: Registry? = nil, textEncoder: Registry? = nil, textEncoder2: Registry? = nil) {
        self.unet = unet
        self.textEncoder = textEncoder
        self.textEncoder2 = textEncoder2
        let paths = unet?.adaptable.map(\.path) ?? []
        let isXL = textEncoder2 != nil || paths.contains { $0.hasPrefix("add_embedding.") }
        naming = LayerNaming(isXL: isXL, layout: paths.isEmpty ? (isXL ? .xl : .standard) : UNetLayout(paths: paths))
    }

    /// Text encoders first, then the UNet.
    private var parts: [(part: AdapterPart, registry: Registry)] {
        [(AdapterPart.textEncoder, textEncoder), (.textEncoder2, textEncoder2), (.unet, unet)].compactMap { part, registry in registry.map { (part, $0) } }
    }

    func has(_ part: AdapterPart) -> Bool { parts.contains { $0.part == part } }

    /// A place for an adapter.
    struct Target {
        enum Place {
            case layer(any AdaptableLayer)
            case norm(NormSlot)
        }
        let part: AdapterPart, path: String, name: String, place: Place
    }

    /// All places, each part in the model's order: layers, then normalisations.
    func targets() -> [Target] {
        parts.flatMap { part, registry in
            registry.adaptable.map { Target(part: part, path: $0.path, name: naming.name(of: part, path: $0.path), place: .layer($0.layer)) }
                + registry.norms.map { Target(part: part, path: $0.path, name: naming.name(of: part, path: $0.path), place: .norm($0)) }
        }
    }

    /// Kohya's names of all layers that could be adapted.
    public var layerNames: [String] { targets().map(\.name) }
}
