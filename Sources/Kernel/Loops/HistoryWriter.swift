import JupyterWire
import Records
import Threads

/// Writes cells to the history behind the back of the executor: a cell's answer never waits for the disk. Its thread starts with the first cell.
package final class HistoryWriter: Sendable {
    /// A cell of a session that may not have its number yet.
    struct Entry: Sendable {
        var session: HistorySession
        var line: Int
        var input: String
        var output: String?
    }

    private struct State: Sendable {
        var pending: [Entry] = []
        var isWriting = false
        var isClosed = false
        var thread: SystemThread?
    }

    private let history: CellHistory
    private let log: @Sendable (String) -> Void
    private let state = Monitor(State())

    package init(_ history: CellHistory, log: @escaping @Sendable (String) -> Void) {
        self.history = history
        self.log = log
    }

    func append(_ entry: Entry) {
        state.withLockAndBroadcast { state in
            state.pending.append(entry)
            if state.thread == nil { state.thread = SystemThread("history", stackSize: 256 << 10) { self.run() } }
        }
    }

    private func run() {
        while let entries = nextBatch() {
            do {
                try history.append(try entries.map { .init(session: try $0.session.number(), line: $0.line, input: $0.input, output: $0.output) })
            } catch {
                log("\(error)")
            }
            state.withLockAndBroadcast { $0.isWriting = false }
        }
    }

    private func nextBatch() -> [Entry]? {
        state.wait { state in
            guard !state.pending.isEmpty else { return state.isClosed ? .some(nil) : nil }
            defer { state.pending = [] }
            state.isWriting = true
            return .some(state.pending)
        }
    }

    /// Ends the thread after the last write.
    package func close() {
        let thread = state.withLockAndBroadcast { state in
            state.isClosed = true
            return state.thread
        }
        thread?.join()
    }

    /// The history itself, once everything appended so far is in the file.
    var complete: CellHistory {
        state.wait { $0.pending.isEmpty && !$0.isWriting ? () : nil }
        return history
    }
}

/// The lines of one run of a shell; gets its number when its first cell is stored.
final class HistorySession: Sendable {
    private let writer: HistoryWriter
    private let history: CellHistory
    private let known = Monitor<Int?>(nil)

    init(writer: HistoryWriter, history: CellHistory) {
        self.writer = writer
        self.history = history
    }

    /// Keeps a cell; returns at once.
    func append(line: Int, input: String, output: String?) {
        writer.append(.init(session: self, line: line, input: input, output: output))
    }

    /// Cells as `history_request` asks for them.
    /// - Throws: `RecordsError` when the file cannot be read.
    func entries(_ access: HistoryRequest.Access) throws -> [CellHistory.Entry] {
        let complete = writer.complete
        switch access {
        case .tail(let count): return try complete.tail(count)
        case .search(let pattern, let count, let unique): return try complete.search(pattern, count: count, unique: unique)
        case .range(let session, let start, let stop):
            return try complete.range(session: session > 0 ? session : number() + session, start: start, stop: stop)
        }
    }

    func number() throws(RecordsError) -> Int {
        if let number = known.withLock({ $0 }) { return number }
        let new = try history.beginSession()
        return known.withLock { known in
            known = known ?? new
            return known!
        }
    }
}
