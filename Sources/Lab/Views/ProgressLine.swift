/// Where a training run is, in one line.
package struct ProgressLine: Sendable {
    package var step: Int, steps: Int
    package var epoch: Int, epochs: Int
    /// Mean over one epoch.
    package var loss: Double?
    package var learningRate: Double?
    package var stepsPerSecond: Double?
    /// MiB of the whole process.
    package var memoryMiB: Int?

    package init(
        step: Int, steps: Int, epoch: Int, epochs: Int, loss: Double? = nil, learningRate: Double? = nil, stepsPerSecond: Double? = nil, memoryMiB: Int? = nil
    ) {
        (self.step, self.steps, self.epoch, self.epochs) = (step, steps, epoch, epochs)
        (self.loss, self.learningRate, self.stepsPerSecond, self.memoryMiB) = (loss, learningRate, stepsPerSecond, memoryMiB)
    }

    /// Seconds to the end at the present rate.
    package var secondsLeft: Double? { stepsPerSecond.map { $0 > 0 ? Double(steps - step) / $0 : .infinity } }

    /// `epoch 2/3 · step 81/120 ███████▌     67 % · loss 0.0812 · lr 1e-4 · 1.91 steps/s · 20 s left · 812 MiB`
    package var text: String {
        var parts = ["epoch \(epoch)/\(epochs)", "step \(step)/\(steps) \(bar)"]
        if let loss { parts.append("loss \(Words.fixed(loss, 4))") }
        if let learningRate { parts.append("lr \(Words.rate(learningRate))") }
        if let stepsPerSecond { parts.append("\(Words.fixed(stepsPerSecond, 2)) steps/s") }
        if let secondsLeft { parts.append(step < steps ? "\(Words.duration(secondsLeft)) left" : "done") }
        if let memoryMiB { parts.append("\(Words.grouped(memoryMiB)) MiB") }
        return parts.joined(separator: " · ")
    }

    private static let width = 20
    private static let eighths = Array(" ▏▎▍▌▋▊▉")

    private var bar: String {
        let share = steps > 0 ? Double(min(step, steps)) / Double(steps) : 0
        let filled = Int(share * Double(Self.width * 8))
        let full = String(repeating: "█", count: filled / 8)
        let part = filled / 8 < Self.width ? String(Self.eighths[filled % 8]) : ""
        let empty = String(repeating: " ", count: max(0, Self.width - filled / 8 - 1))
        return "▕\(full)\(part)\(empty)▏\(Int(share * 100)) %"
    }
}
