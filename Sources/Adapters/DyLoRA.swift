import Neural
import TensorCore

/// LoRA that is good at every multiple of `unit` up to its rank: each step trains one block of ranks – Valipour et al. 2023,
/// arXiv:2210.07558. In a file and without a drawn block it is a LoRA.
///
/// `trainedBlock`, `alpha` and `multiplier` change between steps only, by the one session that owns the model; hence
/// `@unchecked Sendable`.
public final class DyLoRA: LoRAModule, @unchecked Sendable {
    public let name: String
    public let layer: any AdaptableLayer
    public let down: Parameter, up: Parameter
    public var alpha: Float
    public var multiplier: Float = 1
    /// Ranks that are trained together.
    public let unit: Int
    public let rule: Rule
    /// The block k of `unit` ranks that gradients reach; nil applies all ranks as a plain LoRA.
    public var trainedBlock: Int?

    /// What is applied while block k is trained, with u the unit and r the rank.
    public enum Rule: String, Sendable, Codable {
        /// The whole product, times `√(r / (k + 1) u)`: sd-scripts' `networks.dylora`.
        case whole
        /// Blocks 0...k alone, at the scale `α / (k + 1)`: lycoris-lora's algorithm "dylora".
        case prefix
    }

    init(name: String, layer: any AdaptableLayer, factors: LoRAFactors, unit: Int, rule: Rule) {
        self.name = name
        self.layer = layer
        self.unit = unit
        self.rule = rule
        down = Parameter("\(name).lora_down.weight", factors.down, trainable: true)
        up = Parameter("\(name).lora_up.weight", factors.up, trainable: true)
        alpha = factors.alpha
    }

    public func added(_ x: Tensor, to output: Tensor) -> Tensor {
        guard let trainedBlock else { return loRA(x, layer.kind, down: down.tensor, up: up.tensor, scale: multiplier * scale, addedTo: output) }
        let end = (trainedBlock + 1) * unit, last = rule == .whole ? rank : end
        let factor = rule == .whole ? scale * (Float(rank) / Float(end)).squareRoot() : alpha / Float(trainedBlock + 1)
        return loRA(
            x, layer.kind, down: opened(down.tensor, axis: 0, upTo: last), up: opened(up.tensor, axis: 1, upTo: last), scale: multiplier * factor,
            addedTo: output)
    }

    /// Ranks `0..<end` along `axis`, gradients flowing to the trained block alone.
    private func opened(_ factor: Tensor, axis: Int, upTo end: Int) -> Tensor {
        let begin = trainedBlock! * unit, fixed = factor.detached()
        let parts = [fixed.sliced(axis: axis, from: 0, to: begin), factor.sliced(axis: axis, from: begin, to: begin + unit), fixed.sliced(axis: axis, from: begin + unit, to: end)]
        return Tensor.concatenated(parts.filter { $0.shape[axis] > 0 }, axis: axis)
    }
}
