import Neural
import TensorCore

/// Low-rank adaptation of one layer: `Δy = multiplier · (α / r) · B(A x)` – Hu et al. 2021, arXiv:2106.09685.
///
/// B starts at zero, so before the first step the adapted model equals the base model.
public protocol LoRAModule: LayerChange {
    /// A: `[r, in]`, or `[r, in, k, k]` for a convolution.
    var down: Parameter { get }
    /// B: `[out, r]`, or `[out, r, 1, 1]` for a convolution.
    var up: Parameter { get }
    var alpha: Float { get set }
}

extension LoRAModule {
    /// r.
    public var rank: Int { down.value.shape[0] }
    /// α / r.
    public var scale: Float { alpha / Float(rank) }

    public var kind: AdapterKind { .lora }
    public var parameters: [Parameter] { [down, up] }
    public var size: AdapterSize? { AdapterSize(rank: rank, alpha: alpha) }

    public func set(_ values: [Tensor], alpha: Float?) { set(down: values[0], up: values[1], alpha: alpha ?? self.alpha) }

    public func tensors() -> [(ending: String, tensor: Tensor)] {
        LoRAFactors(down: down.value, up: up.value, alpha: alpha).tensors
    }

    /// B·A as matrices, without scale: `[out, in·k·k]` (k is 1 for a linear layer).
    func product() -> Tensor {
        withoutGradients { upMatrix.matmul(downMatrix) }
    }

    /// A as `[r, in·k·k]`.
    var downMatrix: Tensor { down.value.reshaped([rank, -1]) }
    /// B as `[out, r]`.
    var upMatrix: Tensor { up.value.reshaped([-1, rank]) }

    /// What the adapter adds to the layer's weight at multiplier 1, in the weight's own shape: `(α / r) · B A`.
    public func weightDelta() -> Tensor { weightDelta(multiplier: 1) }

    public func weightDelta(multiplier: Float) -> Tensor {
        withoutGradients { (product() * (multiplier * scale)).reshaped(layer.weight.value.shape) }
    }

    /// Replaces both factors; shapes may have another rank.
    func set(down newDown: Tensor, up newUp: Tensor, alpha newAlpha: Float) {
        let unchanged = down.value.shape == newDown.shape
        precondition(unchanged || newDown.shape.dropFirst() == down.value.shape.dropFirst(), "\(name): A \(newDown.shape) for \(down.value.shape)")
        down.replace(with: newDown)
        up.replace(with: newUp)
        alpha = newAlpha
    }
}

/// LoRA of a linear layer, or of a convolution: A then has the layer's own kernel, stride and padding, B is 1×1.
///
/// `alpha` and `multiplier` change between steps only, by the one session that owns the model; hence `@unchecked Sendable`.
public final class LoRA: LoRAModule, @unchecked Sendable {
    public let name: String
    public let layer: any AdaptableLayer
    public let down: Parameter, up: Parameter
    public var alpha: Float
    public var multiplier: Float = 1

    init(name: String, layer: any AdaptableLayer, factors: LoRAFactors) {
        self.name = name
        self.layer = layer
        down = Parameter("\(name).lora_down.weight", factors.down, trainable: true)
        up = Parameter("\(name).lora_up.weight", factors.up, trainable: true)
        alpha = factors.alpha
    }

    public func added(_ x: Tensor, to output: Tensor) -> Tensor { loRA(x, layer.kind, down: down.tensor, up: up.tensor, scale: multiplier * scale, addedTo: output) }
}

/// `output + scale · B(A x)` in a layer's own way of applying A.
func loRA(_ x: Tensor, _ kind: AdaptableKind, down: Tensor, up: Tensor, scale: Float, addedTo output: Tensor) -> Tensor {
    switch kind {
    case .linear: return x.linear(down).linear(up, scale: scale, addend: output)
    case .convolution(_, _, _, let stride, let padding):
        return output + (x.conv2d(down, stride: stride, padding: padding) * scale).conv2d(up)       // [B, H', W', r] → [B, H', W', out]
    }
}

/// The factors of one module as values: a snapshot's, or a file's. Layouts as in memory.
public struct LoRAFactors: Sendable {
    public var down: Tensor
    public var up: Tensor
    public var alpha: Float
    public var rank: Int { down.shape[0] }

    public init(down: Tensor, up: Tensor, alpha: Float) {
        self.down = down
        self.up = up
        self.alpha = alpha
    }
}

extension LoRAFactors {
    /// A uniform in ±1/√(k·k·in) (`kaiming_uniform_(a = √5)`), B zero.
    static func fresh(_ kind: AdaptableKind, rank: Int, alpha: Float, generator: inout TorchGenerator) -> LoRAFactors {
        LoRAFactors(
            down: freshDown(kind, rank: rank, generator: &generator),
            up: .zeros(kind.isLinear ? [kind.outputs, rank] : [kind.outputs, rank, 1, 1]), alpha: alpha)
    }

    static func freshDown(_ kind: AdaptableKind, rank: Int, generator: inout TorchGenerator) -> Tensor {
        let kernel = kind.kernel, fanIn = kind.inputs * kernel * kernel
        let bound = 1 / Float(fanIn).squareRoot()
        let values = generator.uniform(rank * fanIn).map { $0 * 2 * bound - bound }
        return Tensor(values, shape: kind.isLinear ? [rank, fanIn] : [rank, kind.inputs, kernel, kernel])
    }

    /// A file's shapes to the layer's: matrices gain or lose trailing 1×1.
    func inMemory(for kind: AdaptableKind, key: String, file: String) throws(AdapterError) -> LoRAFactors {
        let kernel = kind.kernel, isFlat = down.rank == 2 && down.shape[1] == kind.inputs * kernel * kernel      // [r, in · k · k]
        let found = [isFlat ? kind.inputs : down.shape[1], up.shape[0]], expected = [kind.inputs, kind.outputs]
        guard found == expected else { throw .sizeMismatch(key: key, expected: expected, found: found, file: file) }
        guard isFlat || down.rank == 4 && down.shape[2] == kernel && down.shape[3] == kernel else {
            throw .malformedModule(key: key, reason: "has a kernel \(down.shape.dropFirst(2)) for a layer of \(kernel)×\(kernel)", file: file)
        }
        return withoutGradients {
            if kind.isLinear { return LoRAFactors(down: down.reshaped([rank, kind.inputs]), up: up.reshaped([kind.outputs, rank]), alpha: alpha) }
            return LoRAFactors(down: down.reshaped([rank, kind.inputs, kernel, kernel]), up: up.reshaped([kind.outputs, rank, 1, 1]), alpha: alpha)
        }
    }

    /// What a file holds: alpha is a number without dimensions.
    var tensors: [(ending: String, tensor: Tensor)] { [("lora_down.weight", down), ("lora_up.weight", up), ("alpha", .scalar(alpha))] }
}

extension AdaptableKind {
    var isLinear: Bool {
        if case .linear = self { return true }
        return false
    }
}

/// Makes the module that fits the way of training.
func loRAModule(_ kind: NetworkKind, name: String, layer: any AdaptableLayer, factors: LoRAFactors) -> any LoRAModule {
    if case .dylora(let unit, let rule) = kind { return DyLoRA(name: name, layer: layer, factors: factors, unit: unit, rule: rule) }
    return LoRA(name: name, layer: layer, factors: factors)
}
