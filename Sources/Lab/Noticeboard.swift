import Threads
import Training

/// What a session has made known: values that any thread may read at any time, also while a cell trains.
///
/// The cell at work writes, everybody reads values of one moment. A history that was read shares its entries with the board until the
/// next one is written: looking costs nothing, and a run pays for one copy each time that it was looked at.
final class Noticeboard: Sendable {
    private struct Notices {
        var status = StatusReport()
        var present = RecordedRun()
        var past: [RecordedRun] = []
        var guideApplies = false
    }
    private let notices = Monitor(Notices())

    /// The session's parts as of the last cell; the steps done as of now.
    var status: StatusReport { notices.withLock { $0.status } }

    /// What the present trainer has said so far.
    var history: RunHistory { notices.withLock { $0.present.history } }

    /// Every run of the session that has something to show, oldest first.
    var runs: [RecordedRun] { notices.withLock { $0.past + ($0.present.history.isEmpty ? [] : [$0.present]) } }

    /// Whether the guide's numbers are about the model that is loaded.
    var guideApplies: Bool { notices.withLock { $0.guideApplies } }

    // MARK: By the cell at work

    func post(_ status: StatusReport) { notices.withLock { $0.status = status } }

    func modelChanged(guideApplies: Bool) { notices.withLock { $0.guideApplies = guideApplies } }

    /// Names the present run as it is called from now on.
    func nameRun(_ name: String) { notices.withLock { $0.present.name = name } }

    func record(_ event: TrainingEvent) {
        notices.withLock { notices in
            notices.present.history.record(event)
            if case .stepped(let report) = event { notices.status.steps = report.step }
        }
    }

    func record(_ change: RunHistory.Change) { notices.withLock { $0.present.history.changes.append(change) } }

    /// A run that was recorded before this kernel started goes on.
    func resume(_ history: RunHistory) { notices.withLock { $0.present.history = history } }

    /// Puts the present run with the past ones.
    func endRun() {
        notices.withLock { notices in
            if !notices.present.history.isEmpty { notices.past.append(notices.present) }
            notices.present = RecordedRun()
        }
    }
}

/// A run with the name that it has in legends.
struct RecordedRun: Sendable {
    var name = "run"
    var history = RunHistory()
}
