import Neural
import TensorCore

/// Low-rank Kronecker product: `ΔW = scale · w1 ⊗ w2`, each of the two either whole or `w_a·w_b` – Edalati et al. 2022,
/// arXiv:2212.10650; Yeh et al. 2023, arXiv:2309.14859. The scale is α / r of the low-rank half, and 1 where both are whole.
public struct LoKr: WeightDifference {
    public static let kind = AdapterKind.lokr
    /// `[a, c]`.
    public let first: Half
    /// `[b, d]`, or `[b, d, k, k]` for a convolution; outputs are a · b, inputs c · d.
    public let second: Half
    public let alpha: Float
    public var size: AdapterSize? { (first.rank ?? second.rank).map { AdapterSize(rank: $0, alpha: alpha) } }

    public enum Half: Sendable {
        /// "lokr_w1", "lokr_w2": `[n, m]` or `[n, m, k, k]`.
        case whole(Parameter)
        /// "lokr_w1_a" `[n, r]` by "lokr_w1_b" `[r, m]`; likewise w2, b `[r, m · k · k]` or `[r, m, k, k]`.
        case product(Parameter, Parameter)
        /// "lokr_t2" `[r, r, k, k]`, "lokr_w2_a" `[r, n]`, "lokr_w2_b" `[r, m]`.
        case tucker(Parameter, Parameter, Parameter)

        /// n.
        var rows: Int {
            switch self {
            case .whole(let w): w.value.shape[0]
            case .product(let a, _): a.value.shape[0]
            case .tucker(_, let a, _): a.value.shape[1]
            }
        }
        /// m · k · k.
        var columns: Int {
            switch self {
            case .whole(let w): w.value.shape.dropFirst().reduce(1, *)
            case .product(_, let b): b.value.shape.dropFirst().reduce(1, *)
            case .tucker(let core, _, let b): b.value.shape[1] * core.value.shape[2] * core.value.shape[3]
            }
        }
        /// r; nil for a whole one.
        var rank: Int? {
            switch self {
            case .whole: nil
            case .product(_, let b), .tucker(_, _, let b): b.value.shape[0]
            }
        }
        /// `[n, m · k · k]`.
        func matrix() -> Tensor {
            switch self {
            case .whole(let w): w.tensor.reshaped([rows, -1])
            case .product(let a, let b): a.tensor.matmul(b.tensor.reshaped([b.value.shape[0], -1]))
            case .tucker(let core, let a, let b): tuckerProduct(core: core.tensor, left: a.tensor, right: b.tensor)
            }
        }
        func factors(_ ending: String) -> [(ending: String, parameter: Parameter)] {
            switch self {
            case .whole(let w): [("lokr_\(ending)", w)]
            case .product(let a, let b): [("lokr_\(ending)_a", a), ("lokr_\(ending)_b", b)]
            case .tucker(let core, let a, let b): [("lokr_t2", core), ("lokr_\(ending)_a", a), ("lokr_\(ending)_b", b)]
            }
        }
    }

    /// r of the low-rank half; nil where both are whole.
    public var rank: Int? { first.rank ?? second.rank }
    public var scale: Float { rank.map { alpha / Float($0) } ?? 1 }
    public var factors: [(ending: String, parameter: Parameter)] { first.factors("w1") + second.factors("w2") }
    public var rows: Int { first.rows * second.rows }
    public var columns: Int { first.columns * second.columns }

    public func matrix() -> Tensor {
        let a = first.matrix(), b = second.matrix()
        let grid = a.reshaped([first.rows, 1, first.columns, 1]) * (b * scale).reshaped([1, second.rows, 1, second.columns])
        return grid.reshaped([rows, columns])                            // [a, b, c, d·kk] → [a·b, c·d·kk]
    }

    public func tensors() -> [(ending: String, tensor: Tensor)] { tensors(alpha: alpha) }

    /// As LyCORIS starts: w1 and the first factors by Kaiming's uniform rule (a = √5), the last factor of w2 zero. w1 is whole;
    /// w2 is whole where the rank reaches half its larger side.
    /// - Parameter factor: wanted size of w1's sides; −1 splits as evenly as can be.
    static func fresh(
        _ name: String, _ kind: AdaptableKind, rank: Int, alpha: Float, factor: Int, decomposesBoth: Bool, hasCores: Bool, generator: inout TorchGenerator
    ) -> LoKr {
        let (a, b) = factorization(kind.outputs, factor), (c, d) = factorization(kind.inputs, factor), kernel = kind.kernel
        func kaiming(_ ending: String, _ shape: [Int]) -> Parameter {
            let bound = 1 / Float(shape.dropFirst().reduce(1, *)).squareRoot()
            let values = generator.uniform(shape.reduce(1, *)).map { $0 * 2 * bound - bound }
            return Parameter("\(name).\(ending)", Tensor(values, shape: shape), trainable: true)
        }
        func zero(_ ending: String, _ shape: [Int]) -> Parameter { Parameter("\(name).\(ending)", .zeros(shape), trainable: true) }
        let second: Half = if 2 * rank >= max(b, d) {
            .whole(zero("lokr_w2", kind.isLinear ? [b, d] : [b, d, kernel, kernel]))
        } else if hasCores && kernel > 1 {
            .tucker(kaiming("lokr_t2", [rank, rank, kernel, kernel]), kaiming("lokr_w2_a", [rank, b]), zero("lokr_w2_b", [rank, d]))
        } else {
            .product(kaiming("lokr_w2_a", [b, rank]), zero("lokr_w2_b", [rank, d * kernel * kernel]))
        }
        let first: Half = decomposesBoth && 2 * rank < max(a, c)
            ? .product(kaiming("lokr_w1_a", [a, rank]), kaiming("lokr_w1_b", [rank, c])) : .whole(kaiming("lokr_w1", [a, c]))
        let isWhole = first.rank == nil && second.rank == nil
        return LoKr(first: first, second: second, alpha: isWhole ? Float(rank) : alpha)
    }

    /// LyCORIS' way to write `dimension` as m · n with m ≤ n: m is `factor` if that divides, else the largest divisor up to it
    /// that still lessens the sum (any divisor for a negative factor).
    public static func factorization(_ dimension: Int, _ factor: Int) -> (Int, Int) {
        precondition(dimension > 0, "factorization of \(dimension)")
        if factor > 0, dimension % factor == 0 { return (min(factor, dimension / factor), max(factor, dimension / factor)) }
        let limit = factor < 0 ? dimension : factor
        var m = 1, n = dimension
        while m < n {
            let next = (m + 1...max(m + 1, dimension)).first { dimension % $0 == 0 } ?? dimension
            if next + dimension / next > m + n || next > limit { break }
            (m, n) = (next, dimension / next)
        }
        return (min(m, n), max(m, n))
    }
}
