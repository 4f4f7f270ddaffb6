import Neural
import TensorCore

/// Low-rank Hadamard product: `ΔW = (α / r) · (w1a·w1b) ⊙ (w2a·w2b)` – Hyeon-Woo et al. 2022, arXiv:2108.06098. The rank of ΔW
/// reaches r². With cores (convolutions): `ΔW = (α / r) · tucker(t1, w1a, w1b) ⊙ tucker(t2, w2a, w2b)`, proposition 3.
public struct LoHa: WeightDifference {
    public static let kind = AdapterKind.loha
    /// "hada_w1_a" `[out, r]`, with cores `[r, out]`; "hada_w1_b" `[r, in · k · k]`, with cores `[r, in]`.
    public let w1a: Parameter, w1b: Parameter
    /// "hada_w2_a", "hada_w2_b": the same shapes.
    public let w2a: Parameter, w2b: Parameter
    /// "hada_t1", "hada_t2" `[r, r, k, k]`.
    public let cores: (first: Parameter, second: Parameter)?
    public let alpha: Float

    public var rank: Int { w1b.value.shape[0] }
    public var scale: Float { alpha / Float(rank) }
    public var size: AdapterSize? { AdapterSize(rank: rank, alpha: alpha) }
    public var factors: [(ending: String, parameter: Parameter)] {
        factors([w1a, w1b, w2a, w2b, cores?.first, cores?.second], ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"])
    }
    public var rows: Int { w1a.value.shape[cores == nil ? 0 : 1] }
    public var columns: Int { w1b.value.shape[1] * (cores.map { $0.first.value.shape[2] * $0.first.value.shape[3] } ?? 1) }

    public func matrix() -> Tensor {
        guard let cores else { return w1a.tensor.matmul(w1b.tensor) * w2a.tensor.matmul(w2b.tensor) * scale }
        return tuckerProduct(core: cores.first.tensor, left: w1a.tensor, right: w1b.tensor)
            * tuckerProduct(core: cores.second.tensor, left: w2a.tensor, right: w2b.tensor) * scale
    }

    public func tensors() -> [(ending: String, tensor: Tensor)] { tensors(alpha: alpha) }

    /// As LyCORIS starts: w1a N(0, 0.1²), w1b and w2b N(0, 1), w2a zero, cores N(0, 0.1²).
    static func fresh(_ name: String, _ kind: AdaptableKind, rank: Int, alpha: Float, hasCores: Bool, generator: inout TorchGenerator) -> LoHa {
        let kernel = kind.kernel, cored = hasCores && kernel > 1
        let outer = cored ? [rank, kind.outputs] : [kind.outputs, rank], inner = [rank, cored ? kind.inputs : kind.inputs * kernel * kernel]
        func normal(_ ending: String, _ shape: [Int], _ deviation: Float) -> Parameter {
            let values = generator.normal(shape.reduce(1, *)).map { $0 * deviation }
            return Parameter("\(name).\(ending)", Tensor(values, shape: shape), trainable: true)
        }
        let core = [rank, rank, kernel, kernel]
        let cores = cored ? (normal("hada_t1", core, 0.1), normal("hada_t2", core, 0.1)) : nil
        return LoHa(
            w1a: normal("hada_w1_a", outer, 0.1), w1b: normal("hada_w1_b", inner, 1),
            w2a: Parameter("\(name).hada_w2_a", .zeros(outer), trainable: true), w2b: normal("hada_w2_b", inner, 1),
            cores: cores, alpha: alpha)
    }
}
