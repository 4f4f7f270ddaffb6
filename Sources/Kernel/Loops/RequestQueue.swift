import JupyterWire
import Threads

/// The queue of one subshell. Requests leave in order of arrival; two exceptions keep the kernel answering:
/// after a failed cell with `stop_on_error` the executes that were queued behind it are marked as aborted, and once a cell has been running for a second
/// requests that only ask something may be taken from behind it.
package final class RequestQueue: Sendable {
    package enum Work: Sendable {
        case run(IncomingMessage)
        /// An execute that was queued behind a failed one.
        case abort(IncomingMessage)
    }

    private enum Entry: Sendable {
        case request(IncomingMessage)
        /// Ends the abortion of executes when it reaches the head.
        case abortEnd
    }

    private struct State: Sendable {
        var entries: [Entry] = []
        var isAborting = false
        var isClosed = false
        var running: RunningCell?
    }

    /// Requests of these types change nothing, or only post a value.
    private static let asides: Set<String> = [
        "kernel_info_request", "complete_request", "inspect_request", "is_complete_request", "comm_info_request", "comm_open", "comm_msg", "comm_close",
    ]
    /// How long a cell runs before such requests overtake it, in nanoseconds: order is kept behind quick cells.
    private static let patience: UInt64 = 1_000_000_000

    private let state = Monitor(State())

    package init() {}

    /// - Returns: whether the request is one that need not wait for a long cell, and a cell is running.
    package func append(_ request: IncomingMessage) -> Bool {
        state.withLockAndBroadcast { state in
            state.entries.append(.request(request))
            return state.running != nil && Self.asides.contains(request.type)
        }
    }

    /// Waits for the next request; `nil` when the queue is closed.
    package func next() -> Work? {
        state.wait { state in
            while !state.isClosed, let entry = state.entries.first {
                state.entries.removeFirst()
                switch entry {
                case .request(let request): return .some(.some(state.isAborting && request.type == "execute_request" ? .abort(request) : .run(request)))
                case .abortEnd: state.isAborting = false
                }
            }
            return state.isClosed ? .some(nil) : nil
        }
    }

    /// Aborts the executes that are in the queue now; later ones run.
    package func abortQueuedExecutes() {
        state.withLock { state in
            state.isAborting = true
            state.entries.append(.abortEnd)
        }
    }

    /// Waits until `moment` (monotonic nanoseconds), less if the queue is closed.
    func waitUntil(_ moment: UInt64) {
        let now = monotonicNanoseconds()
        guard moment > now else { return }
        _ = state.wait(seconds: Double(moment - now) / 1e9) { $0.isClosed }
    }

    /// Ends the loop of the subshell.
    /// - Returns: requests that were still waiting.
    package func close() -> [IncomingMessage] {
        state.withLockAndBroadcast { state in
            state.isClosed = true
            defer { state.entries = [] }
            return state.entries.compactMap { if case .request(let request) = $0 { request } else { nil } }
        }
    }

    // MARK: The running cell

    func beginCell(_ cell: RunningCell) { state.withLock { $0.running = cell } }
    func endCell() { state.withLock { $0.running = nil } }

    /// Interrupts the running cell; nothing happens when there is none.
    package func interrupt() {
        state.withLock { $0.running }?.interruption.interrupt()
    }

    /// Takes the requests that need not wait for a cell that has been running for long.
    /// - Returns: the requests, and whether others may become due while the cell goes on.
    func takeAsides() -> (due: [IncomingMessage], mayCome: Bool) {
        state.withLock { state in
            func isAside(_ entry: Entry) -> IncomingMessage? {
                if case .request(let request) = entry, Self.asides.contains(request.type) { request } else { nil }
            }
            guard let running = state.running else { return ([], false) }
            guard monotonicNanoseconds() - running.started >= Self.patience else { return ([], state.entries.contains { isAside($0) != nil }) }
            let due = state.entries.compactMap(isAside)
            state.entries.removeAll { isAside($0) != nil }
            return (due, false)
        }
    }
}
