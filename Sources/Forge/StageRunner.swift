import Checkpoints
import Foundation
import Neural
import TensorCore

/// One network's training as the forge sees it: what is trained, and what a step's loss is.
///
/// The loop, the learning rate, the moving average, the checkpoints and the log belong to `StageRunner`.
protocol ForgeStage {
    var name: String { get }
    var plan: TrainingPlan { get }
    /// The trained weights, keyed as they will stand in the packaged files.
    var parameters: [(key: String, parameter: Parameter)] { get }
    /// The mean loss of the batch that belongs to `step`. The same step always draws the same batch, noise and captions,
    /// so a run that was stopped and continued sees what an uninterrupted one would have seen.
    func loss(step: Int) throws -> Tensor
}

/// How long and how fast a stage learns.
public struct TrainingPlan: Codable, Sendable, Equatable {
    public var steps: Int
    public var batch: Int
    public var learningRate: Double
    public var warmupSteps: Int
    public var weightDecay: Double
    /// Largest global L2 norm of a step's gradient.
    public var gradientClip = 1.0
    /// Decay of the moving average of the weights; the average is what is packaged.
    public var averageDecay: Double
    /// Steps between two states on disk.
    public var saveEvery = 200

    public init(
        steps: Int, batch: Int, learningRate: Double, warmupSteps: Int = 100, weightDecay: Double = 0.01, averageDecay: Double = 0.998
    ) {
        (self.steps, self.batch, self.learningRate) = (steps, batch, learningRate)
        (self.warmupSteps, self.weightDecay, self.averageDecay) = (warmupSteps, weightDecay, averageDecay)
    }

    /// Linear warm-up, then half a cosine down to one fiftieth.
    public func learningRate(at step: Int) -> Double {
        if step < warmupSteps { return learningRate * Double(step + 1) / Double(warmupSteps) }
        let progress = Double(step - warmupSteps) / Double(max(1, steps - warmupSteps))
        return learningRate * (0.02 + 0.98 * 0.5 * (1 + cos(.pi * min(1, progress))))
    }
}

/// Runs a stage from where its last state stands to the end of its plan, or until the time given is over.
struct StageRunner {
    let workshop: Workshop
    /// Whether a plan that is done begins again, from the weights it ended with.
    var repeatsPlan = false
    /// Seconds after which the runner saves and stops; nil for no limit.
    var timeLimit: Double?
    let log: (String) -> Void

    /// - Returns: whether the plan's last step has been done.
    func run(_ stage: some ForgeStage) throws -> Bool {
        var state = try StageState.resume(stage, at: workshop.statePath(stage.name))
        if repeatsPlan, state.step >= stage.plan.steps { state.restart(stage.plan) }
        let started = Date.now
        var window = LossWindow()
        let first = state.step
        log("\(stage.name): step \(first) of \(stage.plan.steps), \(state.parameterCount) weights")
        while state.step < stage.plan.steps {
            let loss = try stage.loss(step: state.step)
            let value = loss.item()
            guard value.isFinite else { throw ForgeError.diverged(stage: stage.name, step: state.step, loss: value) }
            state.apply(gradients(of: loss, for: stage.parameters.map(\.parameter.tensor)), plan: stage.plan)
            window.add(value)
            let seconds = Date.now.timeIntervalSince(started)
            let timeIsOver = timeLimit.map { seconds > $0 } ?? false
            if state.step % 50 == 0 || timeIsOver {
                log(window.line(stage.name, step: state.step, of: stage.plan, secondsPerStep: seconds / Double(state.step - first)))
                window = LossWindow()
            }
            if state.step % stage.plan.saveEvery == 0 || state.step == stage.plan.steps || timeIsOver {
                try state.save(to: workshop.statePath(stage.name))
            }
            if timeIsOver { return false }
        }
        return true
    }
}

/// The mean of the losses since the last line of the log.
private struct LossWindow {
    private var sum = 0.0
    private var count = 0

    mutating func add(_ loss: Float) {
        sum += Double(loss)
        count += 1
    }

    func line(_ name: String, step: Int, of plan: TrainingPlan, secondsPerStep: Double) -> String {
        let left = Double(plan.steps - step) * secondsPerStep / 60
        return String(
            format: "%@: step %d/%d  loss %.5f  rate %.2e  %.3f s/step  %.0f min left", name, step, plan.steps,
            sum / Double(max(1, count)), plan.learningRate(at: step), secondsPerStep, left)
    }
}
