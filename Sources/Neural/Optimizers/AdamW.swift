import TensorCore

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), torch's rule:
/// `p ← p(1 − ηλ)`, `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`, `p ← p − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)`.
public struct AdamW: Optimizer {
    /// Decay of the mean of gradients, default 0.9.
    public var beta1: Double
    /// Decay of the mean of squared gradients, default 0.999.
    public var beta2: Double
    /// Added to the denominator, default 1e-8.
    public var epsilon: Double
    /// λ, default 0.01.
    public var weightDecay: Double

    /// A parameter's state; the means lie on the parameter's device.
    private struct Slot: Sendable {
        var step = 0
        var mean: Tensor, square: Tensor

        init(_ parameter: Tensor) { (mean, square) = (.zeros(parameter.shape, on: parameter.device), .zeros(parameter.shape, on: parameter.device)) }

        init(step: Int, mean: Tensor, square: Tensor) { (self.step, self.mean, self.square) = (step, mean, square) }
    }
    private var slots: [String: Slot] = [:]

    public init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0.01) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }

    /// A parameter whose shape has changed since the last step (a LoRA resized to another rank) starts with fresh state.
    public mutating func step(_ parameters: [Parameter], gradients: [Tensor], learningRates: [Float]) {
        precondition(
            parameters.count == gradients.count && parameters.count == learningRates.count,
            "\(parameters.count) parameters, \(gradients.count) gradients, \(learningRates.count) learning rates")
        for (index, parameter) in parameters.enumerated() {
            let gradient = gradients[index], shape = parameter.value.shape
            precondition(gradient.shape == shape, "\(parameter.name) \(shape) has a gradient \(gradient.shape)")
            var slot = slots.removeValue(forKey: parameter.name) ?? Slot(parameter.value)
            if slot.mean.shape != shape { slot = Slot(parameter.value) }
            update(parameter, gradient, rate: learningRates[index], slot: &slot)
            slots[parameter.name] = slot
        }
    }

    private func update(_ parameter: Parameter, _ gradient: Tensor, rate: Float, slot: inout Slot) {
        slot.step += 1
        slot.mean = slot.mean.moved(to: gradient.device)
        slot.square = slot.square.moved(to: gradient.device)
        let step = AdamWStep(
            learningRate: rate, beta1: Float(beta1), beta2: Float(beta2), epsilon: Float(epsilon), weightDecay: Float(weightDecay), step: slot.step)
        parameter.update { $0.adamW(step, gradient: gradient, mean: &slot.mean, square: &slot.square) }
    }

    public var state: [(name: String, tensor: Tensor)] {
        slots.sorted { $0.key < $1.key }.flatMap { name, slot in
            [
                ("\(name).exp_avg", slot.mean),
                ("\(name).exp_avg_sq", slot.square),
                ("\(name).step", Tensor([Float(slot.step)], shape: [1])),
            ]
        }
    }

    public mutating func restore(_ state: [String: Tensor]) throws(OptimizerError) {
        var restored: [String: Slot] = [:]
        for name in state.keys where !Self.suffixes.contains(where: name.hasSuffix) {
            throw .unknownState(name, expected: Self.suffixes)
        }
        for (key, step) in state where key.hasSuffix(".step") {
            let name = String(key.dropLast(".step".count))
            guard let mean = state[name + ".exp_avg"] else { throw .missingState(name + ".exp_avg") }
            guard let square = state[name + ".exp_avg_sq"] else { throw .missingState(name + ".exp_avg_sq") }
            guard mean.shape == square.shape else {
                throw .mismatchedShapes(name + ".exp_avg_sq", expected: mean.shape, found: square.shape)
            }
            guard step.count == 1 else { throw .mismatchedShapes(key, expected: [1], found: step.shape) }
            restored[name] = Slot(step: Int(step.array[0]), mean: mean.converted(to: .float32), square: square.converted(to: .float32))
        }
        guard restored.count * Self.suffixes.count == state.count else {
            let orphan = state.keys.first { key in !restored.keys.contains { key.hasPrefix($0 + ".") } }
            throw .missingState((orphan ?? "a parameter") + " without .step")
        }
        slots = restored
    }

    private static let suffixes = [".step", ".exp_avg", ".exp_avg_sq"]
}
