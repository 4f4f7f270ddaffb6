import Glibc
import JupyterWire
import Threads

/// A Jupyter kernel on the sockets of a connection file. `run()` is the whole life of the process.
public struct JupyterKernel: Sendable {
    private let configuration: KernelConfiguration

    public init(_ configuration: KernelConfiguration) { self.configuration = configuration }

    /// Serves until shutdown, SIGTERM or the end of the parent process. Call it on the main thread, early: it takes over signals and file descriptors 1 and 2.
    /// - Returns: the exit status; 1 when the connection file is wrong or a port is taken, with the reason on standard error.
    public func run() -> Int32 {
        let log = KernelLog()
        let signals = Signals()
        let parent = ParentProcess()
        let niceness = Niceness.raisePriority()
        do throws(ConnectionError) {
            let sockets = try KernelSockets(path: configuration.connectionFile)
            let server = KernelServer(configuration, sockets, signals, log, cellNiceness: niceness)
            server.serve(until: parent)
            return 0
        } catch {
            log.fatal(error.description)
            return 1
        }
    }
}

/// Lets the threads that answer, libzmq's among them, go before those that compute, where the system permits it. Linux keeps niceness per thread; a new
/// thread has that of the one that made it.
enum Niceness {
    private static let ofService: Int32 = -10
    private static let process = __priority_which_t(PRIO_PROCESS.rawValue)

    /// Raises the calling thread.
    /// - Returns: what it was, for the threads that run cells.
    static func raisePriority() -> Int32 {
        let before = getpriority(process, 0)
        setpriority(process, 0, ofService)
        return before
    }

    static func set(_ niceness: Int32) { setpriority(process, 0, niceness) }
}

/// The five bound sockets.
struct KernelSockets: Sendable {
    let file: ConnectionFile
    let session: WireSession
    let context = ZMQContext()
    let heartbeatContext = ZMQContext()
    let shell, iopub, stdin, control, heartbeat: ZMQSocket

    init(path: String) throws(ConnectionError) {
        var file = try ConnectionFile(path: path)
        session = WireSession(signer: try Signer(key: file.key, scheme: file.signatureScheme))
        if file.curveKeys != nil, !ZMQContext.supportsCurve { throw ConnectionError("connection file \(path) has curve keys, but this libzmq has no curve") }
        file.chooseIPCPorts()
        let hasOpenPorts = file.hasOpenPorts || file.transport == .ipc
        shell = try Self.bind(.router, .shell, &file, context)
        iopub = try Self.bind(.xpub, .iopub, &file, context)
        stdin = try Self.bind(.router, .stdin, &file, context)
        control = try Self.bind(.router, .control, &file, context)
        heartbeat = try Self.bind(.router, .heartbeat, &file, heartbeatContext)
        if hasOpenPorts { try file.save() }
        self.file = file
    }

    private static func bind(
        _ kind: ZMQSocket.Kind, _ channel: ConnectionFile.Channel, _ file: inout ConnectionFile, _ context: ZMQContext
    ) throws(ConnectionError) -> ZMQSocket {
        let socket = ZMQSocket(kind, in: context)
        if let keys = file.curveKeys { try socket.enableCurve(keys) }
        file.bound(channel, at: try socket.bind(file.endpoint(channel)))
        return socket
    }

    /// Sends what is still queued, closes the connections and removes the files of ipc sockets.
    func terminate() {
        context.terminate()
        heartbeatContext.terminate()
        for path in file.socketPaths { unlink(path) }
    }

    /// Content of `connect_reply`.
    var ports: JSON {
        var content: [String: JSON] = ["status": "ok"]
        for (channel, port) in file.ports { content[channel.key] = .integer(port) }
        return .object(content)
    }
}

/// The threads of a running kernel.
final class KernelServer: Sendable {
    /// Seconds that cells and the configuration's hook have to end: jupyter_client sends SIGKILL after five.
    private static let grace = 4.0
    /// Milliseconds between looks at the parent process.
    private static let parentInterval: Int32 = 1000

    private let configuration: KernelConfiguration
    private let sockets: KernelSockets
    private let signals: Signals
    private let iopub: IOPub
    private let router: ShellRouter
    private let streams: StandardStreams
    private let service: ShellService
    private let subshells: SubshellTable
    private let control: ControlLoop
    private let heartbeatStop = WakeSignal()

    init(_ configuration: KernelConfiguration, _ sockets: KernelSockets, _ signals: Signals, _ log: KernelLog, cellNiceness: Int32) {
        let starting = OutgoingMessage("status", ["execution_state": "starting"], parent: .none)
        let iopub = IOPub(socket: sockets.iopub, session: sockets.session, greeting: starting)
        let router = ShellRouter(shell: sockets.shell, stdin: sockets.stdin, session: sockets.session, log: log)
        let streams = StandardStreams { iopub.stream($0, $1, parent: $2) }
        let outlet = SocketOutlet(iopub: iopub, router: router, streams: streams)
        let shutDown: @Sendable (Bool) -> Void = { signals.requestShutdown(restart: $0) }
        service = ShellService(configuration: configuration, outlet: outlet, log: log.debug, ports: sockets.ports, shutDown: shutDown)
        subshells = SubshellTable(service) { Niceness.set(cellNiceness) }
        control = ControlLoop(
            socket: sockets.control, session: sockets.session, configuration: configuration, subshells: subshells, outlet: outlet, log: log, shutDown: shutDown)
        self.configuration = configuration
        self.sockets = sockets
        self.signals = signals
        self.iopub = iopub
        self.router = router
        self.streams = streams
    }

    /// Starts the loops and waits for a reason to end.
    func serve(until parent: ParentProcess) {
        let heartbeat = Heartbeat(socket: sockets.heartbeat, stop: heartbeatStop)
        let threads = [
            SystemThread("heartbeat") { heartbeat.run() },
            SystemThread("iopub") { [iopub] in iopub.run() },
            SystemThread("control") { [control] in control.run() },
            SystemThread("shell") { [router, subshells] in router.run(dispatch: subshells.dispatch) },
        ]
        _ = SystemThread("output", stackSize: 256 << 10) { [streams] in streams.run() }
        let isIdle = end(restart: waitForEnd(parent))
        for thread in threads { thread.join() }
        sockets.terminate()
        // A cell that does not stop must not run into the destructors of a process that ends.
        if !isIdle { _exit(0) }
    }

    /// - Returns: whether a restart follows.
    private func waitForEnd(_ parent: ParentProcess) -> Bool {
        while !parent.hasEnded {
            switch signals.next(milliseconds: Self.parentInterval) {
            case .interrupt: subshells.interrupt()
            case .terminate: return false
            case .shutDown(let restart): return restart
            case nil: break
            }
        }
        return false
    }

    /// Stops cells at a step boundary, lets the configuration save what it must, sends what is queued.
    /// - Returns: whether all cells and the configuration's hook have ended.
    private func end(restart: Bool) -> Bool {
        let isSaved = Monitor(false)
        let hook = configuration.onShutdown
        _ = SystemThread("shutdown", stackSize: 8 << 20) {
            hook(restart)
            isSaved.withLockAndBroadcast { $0 = true }
        }
        let deadline = monotonicNanoseconds() + UInt64(Self.grace * 1e9)
        let haveCellsEnded = subshells.close(within: Self.grace)
        let left = max(0, Double(Int64(deadline) - Int64(monotonicNanoseconds())) / 1e9)
        let isHookDone = isSaved.wait(seconds: left) { $0 }
        service.history.close()
        streams.drain()
        router.close()
        control.close()
        iopub.close()
        heartbeatStop.raise()
        return haveCellsEnded && isHookDone
    }
}

/// Answers and broadcasts through the sockets of the process.
private struct SocketOutlet: MessageOutlet {
    let iopub: IOPub
    let router: ShellRouter
    let streams: StandardStreams

    func reply(_ message: OutgoingMessage, to request: IncomingMessage) { router.reply(message, to: request.identities) }
    func publish(_ message: OutgoingMessage) { iopub.publish(message) }
    func stream(_ name: StreamName, _ text: String, parent: ParentHeader) { iopub.stream(name, text, parent: parent) }
    func attributeOutput(to parent: ParentHeader?) { streams.attribute(to: parent) }
    func endOutput() { streams.end() }
    func drainOutput() { streams.drain() }

    func ask(prompt: String, password: Bool, for request: IncomingMessage, interruption: Interruption) throws -> String {
        drainOutput()
        let answer = try router.input.ask(request.identities, interruption: interruption) { question in
            let content: JSON = ["prompt": .string(prompt), "password": .bool(password)]
            router.ask(OutgoingMessage("input_request", content, parent: request.parent), question: question, to: request.identities)
        }
        if answer == "\u{4}" { throw MagicError("EOFError", "the user ended the input") }
        return answer
    }
}
