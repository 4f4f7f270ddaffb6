import Foundation
import Records
import Training

/// Keeps what a run says in the store of runs, so that it outlives the kernel.
///
/// A store that cannot be written to (a full disk) never stops a run: the first failure is remembered for the cell to tell.
final class RunRecorder {
    private let store: RunStore
    /// The run in the store; nil when it could not be entered.
    let run: Int?
    private(set) var failure: (any Error)?
    private var pending: [RunPoint] = []

    /// Points are written in bundles of this many.
    private static let bundle = 200

    /// Enters a new run.
    init(store: RunStore, name: String, configuration: TrainingConfiguration) {
        self.store = store
        let text = (try? JSONEncoder().encode(configuration)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        do { run = try store.create(name: name, configuration: text) } catch { (run, failure) = (nil, error) }
    }

    /// Goes on with a run that is in the store.
    init(store: RunStore, run: Int) { (self.store, self.run) = (store, run) }

    func record(_ event: TrainingEvent) {
        switch event {
        case .started(let plan):
            attempt { try $0.mark($1, .running) }
            if let loss = plan.heldOutLoss, plan.firstStep == 0 { pending.append(RunPoint(series: "held_out_loss", step: 0, epoch: 0, value: Double(loss))) }
        case .stepped(let report): add(report)
        case .epochEnded(let report):
            if let loss = report.heldOutLoss { pending.append(RunPoint(series: "held_out_loss", step: report.step, epoch: Double(report.epoch), value: Double(loss))) }
            note(step: report.step, kind: "epoch", String(report.epoch))
        case .saved(let report): note(step: 0, kind: report.kind == .adapter ? "adapter" : "state", report.path)
        case .stopped: end(.interrupted)
        case .finished: end(.finished)
        case .preparing, .sampled: break
        }
    }

    /// Something that the user did.
    func note(step: Int, kind: String, _ detail: String) {
        flush()
        attempt { try $0.append(RunEvent(step: step, kind: kind, detail: detail), to: $1) }
    }

    func fail(_ error: any Error, step: Int) {
        note(step: step, kind: "error", "\(error)")
        end(.failed)
    }

    private func add(_ report: StepReport) {
        let epoch = Double(report.epoch - 1) + Double(report.stepInEpoch) / Double(max(1, report.stepsPerEpoch))
        let values = [
            ("loss", Double(report.loss)), ("lr", max(report.unetLearningRate, report.textEncoderLearningRate)), ("gradient_norm", Double(report.gradientNorm)),
        ]
        pending += values.map { RunPoint(series: $0.0, step: report.step, epoch: epoch, value: $0.1) }
        if pending.count >= Self.bundle { flush() }
    }

    private func end(_ state: RunRecord.State) {
        flush()
        attempt { try $0.mark($1, state) }
    }

    private func flush() {
        let points = pending
        pending = []
        attempt { try $0.append(points, to: $1) }
    }

    private func attempt(_ body: (RunStore, Int) throws -> Void) {
        guard let run, failure == nil else { return }
        do { try body(store, run) } catch { failure = error }
    }
}

extension RunHistory {
    /// A run as the store has it.
    ///
    /// - Throws: `RecordsError`.
    init(run: Int, in store: RunStore) throws {
        self.init()
        let rates = try store.series("lr", of: run), norms = try store.series("gradient_norm", of: run)
        let rate = Dictionary(rates.map { ($0.step, $0.value) }) { $1 }, norm = Dictionary(norms.map { ($0.step, $0.value) }) { $1 }
        steps = try store.series("loss", of: run).map { Step(step: $0.step, loss: $0.value, learningRate: rate[$0.step] ?? .nan, gradientNorm: norm[$0.step]) }
        heldOut = try store.series("held_out_loss", of: run).map { HeldOut(step: $0.step, loss: $0.value) }
        for event in try store.events(of: run) {
            switch event.kind {
            case "epoch": epochs.append(Epoch(epoch: Int(event.detail) ?? epochs.count + 1, step: event.step))
            case "change": changes.append(Change(step: event.step, text: event.detail))
            default: break
            }
        }
        window = max(1, zip(epochs, epochs.dropFirst()).map { $1.step - $0.step }.max() ?? epochs.first?.step ?? 1)
    }
}
