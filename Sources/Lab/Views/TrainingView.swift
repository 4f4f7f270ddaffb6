import Dispatch
import Imaging
import Kernel
import Plotting
import TensorCore
import Training

/// What a run shows below its cell while it goes on: a progress line, the loss plot, the samples; each in one place, replaced as it changes.
final class TrainingView {
    private let session: Session
    private let cell: CellContext
    private let progress: LiveDisplay, plot: LiveDisplay, samples: LiveDisplay
    private let guideApplies: Bool
    private var line: ProgressLine?
    private var drawn: [(epoch: Int, images: [GeneratedImage])] = []
    /// Time and steps since the present call began, for the rate.
    private var start: (time: UInt64, step: Int)?

    init(session: Session, cell: CellContext) {
        (self.session, self.cell) = (session, cell)
        (progress, plot, samples) = (LiveDisplay(cell, "progress"), LiveDisplay(cell, "plot"), LiveDisplay(cell, "samples"))
        guideApplies = session.model?.guideApplies ?? false
    }

    func show(_ event: TrainingEvent) throws {
        switch event {
        case .preparing(let preparation): progress.show(always: preparation.done == preparation.total) { DisplayData(plain: Self.words(preparation)) }
        case .started(let plan): try started(plan)
        case .stepped(let report): try stepped(report)
        case .epochEnded: try plot.show(always: false, figure)
        case .sampled(let report): try sampled(report)
        case .saved(let report): if report.kind == .adapter { cell.say("Wrote \(report.path) (\(Words.bytes(report.bytes))).") }
        case .stopped(let summary): try ended(summary, isDone: false)
        case .finished(let summary): try ended(summary, isDone: true)
        }
    }

    private static func words(_ preparation: Preparation) -> String {
        let what = switch preparation.stage {
        case .encodingPictures: "encoding pictures"
        case .encodingHeldOutPictures: "encoding held-out pictures"
        case .measuringHeldOutLoss: "measuring the loss on held-out pictures before the first step"
        }
        return "\(what): \(preparation.done) of \(preparation.total)"
    }

    private func started(_ plan: TrainingPlan) throws {
        line = ProgressLine(step: plan.doneSteps, steps: plan.totalSteps, epoch: 1, epochs: plan.epochs)
        start = (DispatchTime.now().uptimeNanoseconds, plan.doneSteps)
        progress.show(always: true) { DisplayData(plain: line?.text ?? "") }
    }

    private func stepped(_ report: StepReport) throws {
        guard var line, let start else { return }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.time) / 1e9
        line.step = report.stepInRun
        line.steps = report.totalSteps
        line.epoch = min(line.epochs, max(1, (report.stepInRun - 1) / max(1, report.stepsPerEpoch) + 1))
        line.loss = Double(report.averageLoss)
        line.learningRate = max(report.unetLearningRate, report.textEncoderLearningRate)
        line.stepsPerSecond = Double(report.stepInRun - start.step) / max(seconds, 1e-9)
        line.memoryMiB = SystemMemory.resident >> 20
        self.line = line
        progress.show { DisplayData(plain: line.text) }
        try plot.show(figure)
    }

    /// The plot as of now.
    private func figure() throws -> DisplayData {
        let run = RecordedRun(name: name, history: session.history)
        return try LossPlot(title: "Loss", subtitle: subtitle, runs: [run], showsBand: guideApplies).display(effort: .fast)
    }

    private var name: String { session.trainer?.configuration.outputName ?? "run" }

    private var subtitle: String {
        guard let configuration = session.trainer?.configuration else { return "" }
        return [
            "rank \(configuration.rank)", "alpha \(Words.fixed(Double(configuration.specification.base.effectiveAlpha), 1))",
            "\(configuration.schedule.rawValue.replacing("_", with: " ")) lr \(Words.rate(configuration.learningRate))", "batch \(configuration.batchSize)",
        ].joined(separator: " · ")
    }

    /// One column for each epoch, one row for each prompt.
    private func sampled(_ report: SampleReport) throws {
        if drawn.last?.epoch != report.epoch { drawn.append((report.epoch, [])) }
        drawn[drawn.count - 1].images.append(report.image)
        guard drawn[drawn.count - 1].images.count == session.trainer?.configuration.samplePrompts.count else { return }
        let prompts = drawn[drawn.count - 1].images.map(\.prompt)
        let rows = prompts.indices.map { prompt in
            LabelledGrid.Row(prompts[prompt].text, drawn.map { prompt < $0.images.count ? $0.images[prompt].pixels : nil })
        }
        let columns = drawn.map { $0.epoch == 0 ? "before" : "epoch \($0.epoch)" }
        let grid = LabelledGrid(columns: columns, rows: rows, title: "Samples", highlightedColumn: columns.count - 1)
        let plain = "Samples after \(columns.joined(separator: ", ")):\n" + prompts.map { "  \($0.text), seed \($0.seed.map(String.init) ?? "random")" }.joined(separator: "\n")
        try samples.show(always: true) { try DisplayData(card: grid.draw(), plain: plain) }
    }

    // MARK: The end

    private func ended(_ summary: TrainingSummary, isDone: Bool) throws {
        if let line { progress.show(always: true) { DisplayData(plain: line.text) } }
        if !session.history.isEmpty { try plot.show(always: true, figure) }
        var lines = ["\(isDone ? "Done" : "Stopped"): \(Words.count(summary.stepsInRun, "step")) of \(Words.grouped(summary.totalSteps)) in \(Words.duration(summary.seconds))."]
        if let first = session.history.heldOut.first, let last = session.history.heldOut.last, last.step > first.step, first.loss > 0 {
            let change = (1 - last.loss / first.loss) * 100
            lines.append("Loss on held-out pictures: \(Words.fixed(first.loss, 4)) before, \(Words.fixed(last.loss, 4)) now (\(change < 0 ? "up" : "down") \(Words.fixed(abs(change), 0)) %).")
        }
        if isDone {
            lines += LossAdvice(epochLosses: session.history.epochMeans, applies: guideApplies).sentences
        } else {
            lines.append("%train goes on from here.")
        }
        for line in lines { cell.say(line) }
    }
}
