import JupyterWire
import Records
import Threads

/// What all subshells of a kernel share.
package struct ShellService: Sendable {
    let configuration: KernelConfiguration
    let runner: CellRunner
    let outlet: any MessageOutlet
    let history: HistoryWriter
    let makeHistorySession: @Sendable () -> HistorySession
    let ports: JSON
    /// Starts the end of the process.
    let shutDown: @Sendable (_ restart: Bool) -> Void

    package init(
        configuration: KernelConfiguration, outlet: any MessageOutlet, log: @escaping @Sendable (String) -> Void, ports: JSON,
        shutDown: @escaping @Sendable (Bool) -> Void
    ) {
        self.configuration = configuration
        self.outlet = outlet
        self.ports = ports
        self.shutDown = shutDown
        runner = CellRunner(table: MagicTable(configuration.magics), session: SessionLock())
        let cells = CellHistory(file: configuration.historyFile)
        let writer = HistoryWriter(cells, log: log)
        history = writer
        makeHistorySession = { HistorySession(writer: writer, history: cells) }
    }
}

/// One line of execution on the shell channel (JEP 91): the main shell, or a subshell that a client created. Handles its requests one by one on a thread of
/// its own, with its own execution counter and its own history session.
package final class Subshell: Sendable {
    /// A failed cell's reply is held back until this long after the request came, in nanoseconds: executes that the client sent in one go with it are in the
    /// queue by then, to be aborted. Once the client knows of the failure everything it sends is run.
    private static let burst: UInt64 = 10_000_000

    package let queue = RequestQueue()
    private let service: ShellService
    private let historySession: HistorySession
    private let executionCount = Monitor(0)

    package init(_ service: ShellService) {
        self.service = service
        historySession = service.makeHistorySession()
    }

    /// The thread's loop; returns when the queue is closed.
    package func run() {
        while let work = queue.next() {
            switch work {
            case .run(let request): handle(request)
            case .abort(let request): abort(request)
            }
        }
    }

    /// Busy, the answer, idle: for every request, whatever happens. Called from the aside thread too, for requests other than executes.
    package func handle(_ request: IncomingMessage) {
        if request.type == "execute_request" {
            execute(request)
            return
        }
        service.outlet.status("busy", parent: request.parent)
        do {
            if let reply = try answer(request) { self.reply(reply.type, reply.content, to: request) }
        } catch {
            replyError(CellFailure(error), to: request)
        }
        service.outlet.status("idle", parent: request.parent)
    }

    private func reply(_ type: String, _ content: JSON, to request: IncomingMessage) {
        service.outlet.reply(OutgoingMessage(type, content, parent: request.parent), to: request)
    }

    private func replyError(_ failure: CellFailure, to request: IncomingMessage) {
        guard let type = replyType(of: request.type) else { return }
        reply(type, failure.content(of: "", executionCount: nil), to: request)
    }

    /// Answers an execute that was queued behind a failed one.
    func abort(_ request: IncomingMessage) {
        service.outlet.status("busy", parent: request.parent)
        reply("execute_reply", ["status": "aborted", "execution_count": .integer(executionCount.withLock { $0 })], to: request)
        service.outlet.status("idle", parent: request.parent)
    }

    // MARK: Execution

    private func execute(_ request: IncomingMessage) {
        let interruption = Interruption()
        let arrival = monotonicNanoseconds()
        queue.beginCell(RunningCell(interruption: interruption, started: arrival))
        service.outlet.status("busy", parent: request.parent)
        do {
            let execution = CellExecution(
                request: request, content: try ExecuteRequest(request.content), interruption: interruption, service: service)
            let number = executionCount.withLock { count in
                if execution.content.storesHistory { count += 1 }
                return count
            }
            let outcome = execution.run(executionCount: number)
            finish(outcome, of: execution, number: number, arrival: arrival)
        } catch {
            queue.endCell()
            let failure = CellFailure(error)
            reply("execute_reply", failure.content(of: "", executionCount: executionCount.withLock { $0 }), to: request)
        }
        interruption.finish()
        service.outlet.status("idle", parent: request.parent)
    }

    private func finish(_ outcome: CellOutcome, of execution: CellExecution, number: Int, arrival: UInt64) {
        if outcome.failure != nil { queue.waitUntil(execution.content.stopsOnError ? arrival + Self.burst : 0) }
        if let failure = outcome.failure {
            execution.publish(failure, executionCount: number)
            if execution.content.stopsOnError || failure.name == "KeyboardInterrupt" { queue.abortQueuedExecutes() }
        }
        queue.endCell()
        if execution.content.storesHistory, !trimmed(execution.content.code).isEmpty {
            historySession.append(line: number, input: execution.content.code, output: outcome.result)
        }
        reply("execute_reply", outcome.reply(executionCount: number, code: execution.content.code), to: execution.request)
    }

    // MARK: Other requests

    private func answer(_ request: IncomingMessage) throws -> (type: String, content: JSON)? {
        let content = request.content
        switch request.type {
        case "kernel_info_request": return ("kernel_info_reply", KernelInformation(service.configuration).content)
        case "complete_request": return ("complete_reply", Completion.answer(try CursorRequest(content, type: request.type), service.runner.table))
        case "inspect_request": return ("inspect_reply", Inspection.answer(try CursorRequest(content, type: request.type), service.runner.table))
        case "is_complete_request": return ("is_complete_reply", Self.isComplete(try IsCompleteRequest(content)))
        case "history_request": return ("history_reply", try historyContent(try HistoryRequest(content)))
        case "comm_info_request": return ("comm_info_reply", ["status": "ok", "comms": [:]])
        case "connect_request": return ("connect_reply", service.ports)
        case "comm_open": try refuse(CommMessage(content, type: request.type), request)
        case "shutdown_request":
            let restart = content["restart"]?.bool ?? false
            service.outlet.publish(OutgoingMessage("shutdown_reply", ["status": "ok", "restart": .bool(restart)], parent: request.parent))
            reply("shutdown_reply", ["status": "ok", "restart": .bool(restart)], to: request)
            service.shutDown(restart)
        default: break
        }
        return nil
    }

    /// No comm target is registered: an opened comm is closed at once, messages to one are ignored.
    private func refuse(_ comm: CommMessage, _ request: IncomingMessage) {
        service.outlet.publish(OutgoingMessage("comm_close", ["comm_id": .string(comm.id), "data": [:]], parent: request.parent))
    }

    private static func isComplete(_ request: IsCompleteRequest) -> JSON {
        let state = Completeness(of: request.code)
        return state == .incomplete ? ["status": .string(state.rawValue), "indent": ""] : ["status": .string(state.rawValue)]
    }

    private func historyContent(_ request: HistoryRequest) throws -> JSON {
        let entries = try historySession.entries(request.access).map { entry -> JSON in
            let text = JSON.string(entry.input)
            let output = entry.output.map { JSON.string($0) } ?? .null
            return [.integer(entry.session), .integer(entry.line), request.includesOutput ? [text, output] : text]
        }
        return ["status": "ok", "history": .array(entries)]
    }
}

/// `x_reply` for `x_request`; `nil` for messages that are not answered.
func replyType(of type: String) -> String? {
    type.hasSuffix("_request") ? type.dropLast("_request".count) + "_reply" : nil
}

extension CellFailure {
    /// Content of an error reply.
    func content(of code: String, executionCount: Int?) -> JSON {
        var content: [String: JSON] = [
            "status": "error", "ename": .string(name), "evalue": .string(message), "traceback": .array(traceback(of: code).map { .string($0) }),
        ]
        if let executionCount { content["execution_count"] = .integer(executionCount) }
        return .object(content)
    }
}
