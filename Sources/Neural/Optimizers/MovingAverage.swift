import TensorCore

/// An exponential moving average of parameters: `s ← d·s + (1−d)·p` after each step. Samples drawn from the average are
/// steadier than those from the last step (Polyak and Juditsky 1992; Ho et al. 2020, arXiv:2006.11239, use 0.9999).
public struct MovingAverage: Sendable {
    public let decay: Float
    /// Whether early steps use `min(decay, (1+t)/(10+t))`, so that the initial values are forgotten sooner.
    public let warmsUp: Bool
    public private(set) var steps = 0
    private var averages: [String: Tensor] = [:]

    public init(decay: Float, warmsUp: Bool = true) {
        self.decay = decay
        self.warmsUp = warmsUp
    }

    /// Takes the parameters' values into the average; the first time they are the average.
    public mutating func update(_ parameters: [Parameter]) {
        let t = Float(steps)
        let d = warmsUp ? min(decay, (1 + t) / (10 + t)) : decay
        steps += 1
        withoutGradients {
            for parameter in parameters {
                let value = parameter.value
                guard let average = averages[parameter.name], average.count == value.count else {
                    averages[parameter.name] = value
                    continue
                }
                let known = average.reshaped(value.shape).moved(to: value.device)
                averages[parameter.name] = known + (value - known) * (1 - d)
            }
        }
    }

    /// Exchanges the average and the parameters' values; a second call undoes the first.
    public mutating func swap(with parameters: [Parameter]) {
        for parameter in parameters {
            guard let average = averages[parameter.name] else { continue }
            let value = parameter.value
            averages[parameter.name] = value
            parameter.value = average.reshaped(value.shape).moved(to: value.device)
        }
    }

    /// The averages as named tensors, sorted by name, with the number of steps under `moving_average.steps`.
    public var state: [(name: String, tensor: Tensor)] {
        averages.sorted { $0.key < $1.key }.map { ($0.key, $0.value.reshaped([-1])) }
            + [(Self.stepsName, Tensor([Float(steps)], shape: [1]))]
    }

    /// Replaces the averages by ones that `state` returned earlier.
    public mutating func restore(_ state: [String: Tensor]) throws(OptimizerError) {
        guard let count = state[Self.stepsName], count.count == 1 else { throw .missingState(Self.stepsName) }
        steps = Int(count.array[0])
        averages = state.filter { $0.key != Self.stepsName }.mapValues { $0.converted(to: .float32) }
    }

    private static let stepsName = "moving_average.steps"
}
