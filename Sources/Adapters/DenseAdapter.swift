import Neural
import TensorCore

/// A formula for a layer's weight difference ΔW that is no thin product: one type per formula, with its factors and their shapes.
public protocol WeightDifference: Sendable {
    static var kind: AdapterKind { get }
    /// What is trained, by its ending in a file and in the file's layout.
    var factors: [(ending: String, parameter: Parameter)] { get }
    /// The sizes of `matrix()`: outputs, and inputs · k · k.
    var rows: Int { get }
    var columns: Int { get }
    /// ΔW as `[out, in · k · k]`, a file's order, its scale included. Gradients flow to the factors.
    func matrix() -> Tensor
    /// Δb `[out]`; nil for formulas without one.
    var bias: Tensor? { get }
    /// Rank and alpha; nil for formulas without them.
    var size: AdapterSize? { get }
    /// What a file holds.
    func tensors() -> [(ending: String, tensor: Tensor)]
}

extension WeightDifference {
    public var bias: Tensor? { nil }
    public var size: AdapterSize? { nil }

    func factors(_ parameters: [Parameter?], _ endings: [String]) -> [(ending: String, parameter: Parameter)] {
        zip(endings, parameters).compactMap { ending, parameter in parameter.map { (ending, $0) } }
    }

    /// The factors as they are and alpha as a number without dimensions.
    func tensors(alpha: Float) -> [(ending: String, tensor: Tensor)] {
        factors.map { ($0.ending, $0.parameter.value) } + [("alpha", .scalar(alpha))]
    }
}

/// An adapter that computes the layer's weight difference and applies it: `Δy = multiplier · ΔW x`, with a magnitude (DoRA)
/// `W' = (multiplier · (m / ‖W + ΔW‖ − 1) + 1) ⊙ (W + ΔW)` – Liu et al. 2024, arXiv:2402.09353, the strength as LyCORIS has it.
///
/// ΔW of a trained adapter is computed in each pass; that of a frozen one is computed once and kept, a matrix per layer.
/// `multiplier` and what is kept change between steps only, by the one session that owns the model; hence `@unchecked Sendable`.
public final class DenseAdapter: LayerChange, @unchecked Sendable {
    public let name: String
    public let layer: any AdaptableLayer
    public let difference: any WeightDifference
    /// DoRA's `m` ("dora_scale"): one number per output, or per input in the older form.
    public let magnitude: Magnitude?
    public var multiplier: Float = 1
    private var kept: (multiplier: Float, change: Tensor)?

    public struct Magnitude: Sendable {
        /// `[n]`.
        public let values: Parameter
        public let isPerOutput: Bool
        /// As the file has it.
        let shape: [Int]
    }

    init(name: String, layer: any AdaptableLayer, difference: any WeightDifference, magnitude: Magnitude? = nil) {
        self.name = name
        self.layer = layer
        self.difference = difference
        self.magnitude = magnitude
    }

    public var kind: AdapterKind { type(of: difference).kind }
    public var parameters: [Parameter] { difference.factors.map(\.parameter) + (magnitude.map { [$0.values] } ?? []) }

    public func tensors() -> [(ending: String, tensor: Tensor)] {
        difference.tensors() + (magnitude.map { [("dora_scale", $0.values.value.reshaped($0.shape))] } ?? [])
    }

    public var size: AdapterSize? { difference.size }

    public func set(_ values: [Tensor], alpha: Float?) {
        precondition(values.count == parameters.count, "\(name): \(values.count) values for \(parameters.count) parameters")
        for (parameter, value) in zip(parameters, values) { parameter.replace(with: value) }
        kept = nil
    }

    public func place() {
        kept = nil                       // the base weight may be another one
        layer.adapters.append(self)
    }

    public func remove() {
        kept = nil
        layer.adapters.removeAll { $0 === self }
    }

    public func added(_ x: Tensor, to output: Tensor) -> Tensor {
        let change = currentChange(), bias = biasDelta(multiplier: multiplier)
        switch layer.kind {
        case .linear: return x.linear(change, bias: bias, addend: output)
        case .convolution(_, _, _, let stride, let padding): return output + x.conv2d(change, bias: bias, stride: stride, padding: padding)
        }
    }

    private func currentChange() -> Tensor {
        if let kept, kept.multiplier == multiplier { return kept.change }
        guard parameters.allSatisfy({ !$0.isTrainable }) else { return weightDelta(multiplier: multiplier) }
        let change = withoutGradients { weightDelta(multiplier: multiplier) }
        kept = (multiplier, change)
        return change
    }

    public func weightDelta(multiplier: Float) -> Tensor {
        let kind = layer.kind, kernel = kind.kernel, matrix = difference.matrix()
        let change = kind.isLinear ? matrix : matrix.reshaped([kind.outputs, kind.inputs, kernel, kernel])
        return magnitude.map { decomposed(change, $0, multiplier) } ?? change * multiplier
    }

    public func biasDelta(multiplier: Float) -> Tensor? { difference.bias.map { $0 * multiplier } }

    /// `W' − W` of DoRA.
    private func decomposed(_ change: Tensor, _ magnitude: Magnitude, _ multiplier: Float) -> Tensor {
        let base = layer.weight.value.converted(to: .float32), sum = base + change
        let axes = Array(0..<sum.rank), kept = magnitude.isPerOutput ? 0 : 1
        var norms = sum.square()
        for axis in axes where axis != kept { norms = norms.sum(axis: axis, keepingAxis: true) }
        let shape = axes.map { $0 == kept ? sum.shape[$0] : 1 }
        let ratio = magnitude.values.tensor.reshaped(shape) / (norms.sqrt() + Float.ulpOfOne)
        return sum * ((ratio - 1) * multiplier + 1) - base
    }
}

/// `P[p, r, …] = Σ_ij core[i, j, …] left[i, p] right[j, r]`: the product of a Tucker decomposition's core with its two factors
/// (Kim et al. 2015, arXiv:1511.06530).
///
/// - Parameters:
///   - core: `[i, j, k, k]`.
///   - left: `[i, p]`; `right`: `[j, r]`.
/// - Returns: `[p, r · k · k]`.
func tuckerProduct(core: Tensor, left: Tensor, right: Tensor) -> Tensor {
    let (i, j, p, r) = (core.shape[0], core.shape[1], left.shape[1], right.shape[1]), area = core.shape[2] * core.shape[3]
    let rows = left.transposed([1, 0]).matmul(core.reshaped([i, j * area]))                            // [p, j·kk]
    let inner = rows.reshaped([p, j, area]).transposed([0, 2, 1]).matmul(right)                        // [p, kk, r]
    return inner.transposed([0, 2, 1]).reshaped([p, r * area])
}
