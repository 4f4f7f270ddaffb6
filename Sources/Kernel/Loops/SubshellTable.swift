import JupyterWire
import Synchronization
import Threads

/// The main shell and the subshells that clients have made, each with its thread.
final class SubshellTable: Sendable {
    /// Stack of a thread that runs magics, in bytes: as much as a main thread has.
    private static let stackSize = 8 << 20

    private struct State: Sendable {
        var shells: [String: Subshell] = [:]
        /// In order of creation.
        var order: [String] = []
        var threads: [SystemThread] = []
        /// How many loops have not ended.
        var running = 0
    }

    private let service: ShellService
    private let main: Subshell
    private let aside: AsideWorker
    private let prepareThread: @Sendable () -> Void
    private let state = Monitor(State())

    /// - Parameter prepareThread: called first on each thread that runs cells.
    init(_ service: ShellService, prepareThread: @escaping @Sendable () -> Void) {
        self.service = service
        self.prepareThread = prepareThread
        main = Subshell(service)
        aside = AsideWorker()
        start(main, "cells")
    }

    private func start(_ shell: Subshell, _ name: String) {
        state.withLock { $0.running += 1 }
        let thread = SystemThread(name, stackSize: Self.stackSize) { [self] in
            prepareThread()
            shell.run()
            state.withLockAndBroadcast { $0.running -= 1 }
        }
        state.withLock { $0.threads.append(thread) }
    }

    /// Takes a request to the shell it names; an unknown one is answered with an error.
    func dispatch(_ request: IncomingMessage) {
        guard let id = request.header.subshellID else { return enqueue(request, on: main) }
        guard let shell = state.withLock({ $0.shells[id] }) else { return refuse(request, id) }
        enqueue(request, on: shell)
    }

    private func enqueue(_ request: IncomingMessage, on shell: Subshell) {
        if shell.queue.append(request) { aside.watch(shell) }
    }

    private func refuse(_ request: IncomingMessage, _ id: String) {
        service.outlet.status("busy", parent: request.parent)
        if let type = replyType(of: request.type) {
            let failure = CellFailure(MagicError("UnknownSubshell", "there is no subshell \(quoted(id))"))
            let count = request.type == "execute_request" ? 0 : nil
            service.outlet.reply(OutgoingMessage(type, failure.content(of: "", executionCount: count), parent: request.parent), to: request)
        }
        service.outlet.status("idle", parent: request.parent)
    }

    // MARK: Administration, from control

    var identifiers: [String] { state.withLock { $0.order } }

    /// - Returns: the id of a new subshell.
    func create() -> String {
        let id = randomIdentifier()
        let shell = Subshell(service)
        state.withLock { state in
            state.shells[id] = shell
            state.order.append(id)
        }
        start(shell, "subshell")
        return id
    }

    /// Ends a subshell after the request in hand; requests that were waiting are answered as aborted.
    /// - Returns: whether there was one.
    func delete(_ id: String) -> Bool {
        let shell = state.withLock { state in
            state.order.removeAll { $0 == id }
            return state.shells.removeValue(forKey: id)
        }
        guard let shell else { return false }
        for request in shell.queue.close() { refuse(request, id) }
        return true
    }

    /// Interrupts every running cell.
    func interrupt() {
        for shell in [main] + state.withLock({ Array($0.shells.values) }) { shell.queue.interrupt() }
    }

    /// Interrupts what runs and ends all loops.
    /// - Returns: whether they ended within `seconds`.
    func close(within seconds: Double) -> Bool {
        interrupt()
        for shell in [main] + state.withLock({ Array($0.shells.values) }) { _ = shell.queue.close() }
        aside.close()
        return state.wait(seconds: seconds) { $0.running == 0 }
    }
}

/// Answers, from a thread of its own, the requests that need not wait for a cell that has been running for long: Tab, Shift-Tab, comms and kernel_info work during a training.
final class AsideWorker: Sendable {
    private struct State: Sendable {
        var watched: [Subshell] = []
        var isClosed = false
        var thread: SystemThread?
    }

    /// How often shells with waiting requests are looked at, in seconds.
    private static let interval = 0.1

    private let state = Monitor(State())

    /// A request that may be answered aside waits behind a running cell of this shell.
    func watch(_ shell: Subshell) {
        state.withLockAndBroadcast { state in
            if !state.watched.contains(where: { $0 === shell }) { state.watched.append(shell) }
            if state.thread == nil { state.thread = SystemThread("asides") { self.run() } }
        }
    }

    private func run() {
        while let shells = nextShells() {
            for shell in shells {
                let (due, mayCome) = shell.queue.takeAsides()
                for request in due { shell.handle(request) }
                if mayCome { watch(shell) }
            }
            if state.withLock({ !$0.watched.isEmpty }) { _ = state.wait(seconds: Self.interval) { $0.isClosed } }
        }
    }

    private func nextShells() -> [Subshell]? {
        state.wait { state in
            if state.isClosed { return .some(nil) }
            guard !state.watched.isEmpty else { return nil }
            defer { state.watched = [] }
            return .some(state.watched)
        }
    }

    func close() { state.withLockAndBroadcast { $0.isClosed = true } }
}
