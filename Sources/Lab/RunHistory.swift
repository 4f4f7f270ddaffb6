import Training

/// What a training run has said so far: one line of figures for each step, the ends of its epochs, and what was changed on the way.
public struct RunHistory: Sendable, Equatable, Codable {
    /// Steps count from 1 and go on when the run is continued.
    public struct Step: Sendable, Equatable, Codable {
        public var step: Int
        public var loss: Double
        public var learningRate: Double
        /// Norm of all gradients before clipping.
        public var gradientNorm: Double?

        public init(step: Int, loss: Double, learningRate: Double, gradientNorm: Double? = nil) {
            (self.step, self.loss, self.learningRate, self.gradientNorm) = (step, loss, learningRate, gradientNorm)
        }
    }

    /// The end of an epoch; epochs count from 1 over the whole run.
    public struct Epoch: Sendable, Equatable, Codable {
        public var epoch: Int
        public var step: Int

        public init(epoch: Int, step: Int) { (self.epoch, self.step) = (epoch, step) }
    }

    /// Mean loss over pictures that are not trained on, always with the same timesteps and noise.
    public struct HeldOut: Sendable, Equatable, Codable {
        public var step: Int
        public var loss: Double

        public init(step: Int, loss: Double) { (self.step, self.loss) = (step, loss) }
    }

    /// A setting that was changed before the step after this one: `lr 1e-3 → 4e-4`.
    public struct Change: Sendable, Equatable, Codable {
        public var step: Int
        public var text: String

        public init(step: Int, text: String) { (self.step, self.text) = (step, text) }
    }

    public var steps: [Step] = []
    public var epochs: [Epoch] = []
    public var heldOut: [HeldOut] = []
    public var changes: [Change] = []
    /// Steps of one epoch: the window of the moving average.
    public var window = 1

    public init() {}

    public var isEmpty: Bool { steps.isEmpty && heldOut.isEmpty }

    /// Mean loss over the last epoch's worth of steps, at every step: the number that Kohya's scripts show as `avr_loss`. Over fewer steps in the beginning.
    public var averages: [(step: Int, loss: Double)] {
        var sum = 0.0
        return steps.indices.map { i in
            sum += steps[i].loss
            if i >= window { sum -= steps[i - window].loss }
            return (steps[i].step, sum / Double(min(i + 1, window)))
        }
    }

    /// Mean loss of each epoch, in order.
    public var epochMeans: [Double] {
        var start = 0
        return epochs.map { epoch in
            let inside = steps.filter { $0.step > start && $0.step <= epoch.step }
            start = epoch.step
            return inside.isEmpty ? .nan : inside.reduce(0) { $0 + $1.loss } / Double(inside.count)
        }
    }
}

extension RunHistory {
    /// Takes in what a run says.
    mutating func record(_ event: TrainingEvent) {
        switch event {
        case .started(let plan):
            window = max(1, plan.stepsPerEpoch)
            if let loss = plan.heldOutLoss, heldOut.isEmpty { heldOut.append(HeldOut(step: plan.firstStep, loss: Double(loss))) }
        case .stepped(let report):
            let rate = max(report.unetLearningRate, report.textEncoderLearningRate)
            steps.append(Step(step: report.step, loss: Double(report.loss), learningRate: rate, gradientNorm: Double(report.gradientNorm)))
        case .epochEnded(let report):
            epochs.append(Epoch(epoch: report.epoch, step: report.step))
            if let loss = report.heldOutLoss { heldOut.append(HeldOut(step: report.step, loss: Double(loss))) }
        case .preparing, .sampled, .saved, .stopped, .finished: break
        }
    }
}
