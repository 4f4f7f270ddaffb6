import Neural
import TensorCore

/// LoCon with a core between its factors, or a LoRA whose weight has a magnitude (DoRA): `ΔW = (α / r) · B·A`, with a core
/// `ΔW[o, c] = (α / r) Σ_ij core[i, j] B[o, i] A[j, c]` – Yeh et al. 2023, arXiv:2309.14859.
///
/// LoCon without either is a thin product: `LoRA`.
public struct LoCon: WeightDifference {
    public static let kind = AdapterKind.locon
    /// A: "lora_down.weight" `[r, in]`, `[r, in, k, k]`, or with a core `[r, in, 1, 1]`.
    public let down: Parameter
    /// B: "lora_up.weight" `[out, r]` or `[out, r, 1, 1]`.
    public let up: Parameter
    /// "lora_mid.weight" `[r, r, k, k]`.
    public let core: Parameter?
    public let alpha: Float

    public var rank: Int { down.value.shape[0] }
    public var size: AdapterSize? { AdapterSize(rank: rank, alpha: alpha) }
    public var factors: [(ending: String, parameter: Parameter)] {
        factors([up, down, core], ["lora_up.weight", "lora_down.weight", "lora_mid.weight"])
    }
    public var rows: Int { up.value.shape[0] }
    public var columns: Int { down.value.count / rank * (core.map { $0.value.shape[2] * $0.value.shape[3] } ?? 1) }

    public func matrix() -> Tensor {
        let b = up.tensor.reshaped([rows, -1]), a = down.tensor.reshaped([rank, -1]), scale = alpha / Float(rank)
        guard let core else { return b.matmul(a * scale) }
        return tuckerProduct(core: core.tensor, left: b.transposed([1, 0]), right: a * scale)
    }

    public func tensors() -> [(ending: String, tensor: Tensor)] { tensors(alpha: alpha) }
}
