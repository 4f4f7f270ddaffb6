import JupyterWire
import Threads

/// The interrupt flag of one running cell. A new cell gets a new one, so an interrupt that arrives while idle cannot hit the next cell.
public final class Interruption: Sendable {
    private struct State {
        var count = 0
        var handlers: [@Sendable (Int) -> Void] = []
    }

    private let state = Monitor(State())

    public init() {}

    /// How often the cell has been interrupted.
    public var count: Int { state.withLock { $0.count } }

    /// Marks the cell as interrupted, wakes waits and calls the handlers on the caller's thread.
    public func interrupt() {
        let (count, handlers) = state.withLockAndBroadcast { state in
            state.count += 1
            return (state.count, state.handlers)
        }
        for handler in handlers { handler(count) }
    }

    /// Calls `handler` at each interrupt; at once if there has been one already.
    public func onInterrupt(_ handler: @escaping @Sendable (Int) -> Void) {
        let count = state.withLock { state in
            state.handlers.append(handler)
            return state.count
        }
        if count > 0 { handler(count) }
    }

    /// Forgets the handlers, when the cell is over.
    package func finish() { state.withLock { $0.handlers = [] } }

    /// Waits until interrupted or `seconds` have passed.
    /// - Returns: whether interrupted.
    package func wait(seconds: Double) -> Bool {
        state.wait(seconds: seconds) { $0.count > 0 }
    }
}
