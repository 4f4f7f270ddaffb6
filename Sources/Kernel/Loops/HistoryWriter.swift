import JupyterWire
import Records

/// Writes cells to the history behind the back of the executor: a cell's answer never waits for the disk. Its thread starts with the first cell.
package final class HistoryWriter: Sendable {
    private struct State: Sendable {
        var pending: [CellHistory.Entry] = []
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

    package func append(_ entry: CellHistory.Entry) {
        state.withLockAndBroadcast { state in
            state.pending.append(entry)
            if state.thread == nil { state.thread = SystemThread("history", stackSize: 256 << 10) { self.run() } }
        }
    }

    private func run() {
        while let entries = nextBatch() {
            do {
                try history.append(entries)
            } catch {
                log("\(error)")
            }
            state.withLockAndBroadcast { $0.isWriting = false }
        }
    }

    private func nextBatch() -> [CellHistory.Entry]? {
        state.wait { state in
            guard !state.pending.isEmpty else { return state.isClosed ? .some(nil) : nil }
            defer { state.pending = [] }
            state.isWriting = true
            return .some(state.pending)
        }
    }

    /// Waits until everything appended so far is in the file.
    package func flush() {
        state.wait { $0.pending.isEmpty && !$0.isWriting ? () : nil }
    }

    /// Ends the thread after the last write.
    package func close() {
        let thread = state.withLockAndBroadcast { state in
            state.isClosed = true
            return state.thread
        }
        thread?.join()
    }

    /// The history itself, complete up to now.
    package var complete: CellHistory {
        flush()
        return history
    }
}

/// The lines of one run of a shell; gets its number when its first cell is stored.
final class HistorySession: Sendable {
    private let writer: HistoryWriter
    private let history: CellHistory
    private let number = Monitor<Int?>(nil)

    init(writer: HistoryWriter, history: CellHistory) {
        self.writer = writer
        self.history = history
    }

    /// Keeps a cell.
    /// - Throws: `RecordsError` when the file cannot be opened.
    func append(line: Int, input: String, output: String?) throws {
        writer.append(.init(session: try current(), line: line, input: input, output: output))
    }

    /// Cells as `history_request` asks for them.
    func entries(_ access: HistoryRequest.Access) throws -> [CellHistory.Entry] {
        let complete = writer.complete
        switch access {
        case .tail(let count): return try complete.tail(count)
        case .search(let pattern, let count, let unique): return try complete.search(pattern, count: count, unique: unique)
        case .range(let session, let start, let stop):
            return try complete.range(session: session > 0 ? session : current() + session, start: start, stop: stop)
        }
    }

    private func current() throws -> Int {
        try number.withLock { number in
            if let number { return number }
            let new = try history.beginSession()
            number = new
            return new
        }
    }
}
