import JupyterWire
import Threads

/// What became of a cell.
struct CellOutcome: Sendable {
    var failure: CellFailure?
    /// Values for the pager.
    var pages: [DisplayData] = []
    /// Entries of `user_expressions`.
    var expressions: [String: JSON] = [:]
    /// `text/plain` of the cell's value.
    var result: String?

    /// Content of `execute_reply`.
    func reply(executionCount: Int, code: String) -> JSON {
        if let failure { return failure.content(of: code, executionCount: executionCount) }
        let payload = pages.map { page -> JSON in ["source": "page", "start": 0, "data": page.bundle] }
        return [
            "status": "ok", "execution_count": .integer(executionCount), "user_expressions": .object(expressions), "payload": .array(payload),
        ]
    }
}

/// One execute_request from its arrival to its outcome: publishes what the cell says as messages whose parent is the request.
struct CellExecution: Sendable {
    let request: IncomingMessage
    let content: ExecuteRequest
    let interruption: Interruption
    let service: ShellService

    /// Runs the cell on the caller's thread; when it returns, everything the cell wrote has been published.
    func run(executionCount: Int) -> CellOutcome {
        let outlet = service.outlet
        if !content.isSilent {
            outlet.publish(OutgoingMessage("execute_input", ["code": .string(content.code), "execution_count": .integer(executionCount)], parent: request.parent))
        }
        outlet.drainOutput()
        outlet.attributeOutput(to: content.isSilent ? nil : request.parent)
        let publisher = CellPublisher(outlet: outlet, parent: request.parent, isSilent: content.isSilent, executionCount: executionCount)
        let cell = CellContext(
            executionCount: executionCount, isSilent: content.isSilent, interruption: interruption, input: inputSource) { publisher.publish($0) }
        var outcome = CellOutcome()
        do throws(CellFailure) {
            outcome.pages = try service.runner.run(content.code, in: cell)
            let evaluator = ExpressionEvaluator(runner: service.runner, lookup: service.configuration.expression)
            outcome.expressions = content.userExpressions.mapValues { evaluator.entry(for: $0, interruption: interruption) }
        } catch {
            outcome.failure = error
        }
        outlet.endOutput()
        outcome.result = publisher.result
        return outcome
    }

    private var inputSource: InputSource {
        guard content.allowsStdin else { return CellContext.refuseInput }
        let (outlet, request, interruption) = (service.outlet, request, interruption)
        return { prompt, password in
            try outlet.ask(prompt: prompt, password: password, for: request, interruption: interruption)
        }
    }

    /// The `error` message of a failed cell.
    func publish(_ failure: CellFailure, executionCount: Int) {
        guard !content.isSilent else { return }
        let traceback = failure.traceback(of: content.code).map { JSON.string($0) }
        service.outlet.publish(
            OutgoingMessage(
                "error", ["ename": .string(failure.name), "evalue": .string(failure.message), "traceback": .array(traceback)], parent: request.parent))
    }
}

/// Turns what a magic says into messages. Lives as long as anyone holds the cell's context: output of background work keeps its cell.
final class CellPublisher: Sendable {
    private let outlet: any MessageOutlet
    private let parent: ParentHeader
    private let isSilent: Bool
    private let executionCount: Int
    private let value = Monitor<String?>(nil)

    init(outlet: any MessageOutlet, parent: ParentHeader, isSilent: Bool, executionCount: Int) {
        self.outlet = outlet
        self.parent = parent
        self.isSilent = isSilent
        self.executionCount = executionCount
    }

    /// `text/plain` of the cell's value, if it has one.
    var result: String? { value.withLock { $0 } }

    func publish(_ event: CellEvent) {
        guard !isSilent else { return }
        switch event {
        case .output(let text): outlet.stream(.stdout, text, parent: parent)
        case .errorOutput(let text): outlet.stream(.stderr, text, parent: parent)
        case .display(let data, let id): send("display_data", data, id: id)
        case .update(let data, let id): send("update_display_data", data, id: id)
        case .clear(let wait): outlet.publish(OutgoingMessage("clear_output", ["wait": .bool(wait)], parent: parent))
        case .result(let data): publishResult(data)
        }
    }

    /// The first value is the cell's; another one is shown like any display.
    private func publishResult(_ data: DisplayData) {
        let isFirst = value.withLock { value in
            guard value == nil else { return false }
            value = data.plain
            return true
        }
        guard isFirst else { return send("display_data", data, id: nil) }
        outlet.drainOutput()
        let content: JSON = ["execution_count": .integer(executionCount), "data": data.bundle, "metadata": data.bundleMetadata]
        outlet.publish(OutgoingMessage("execute_result", content, parent: parent))
    }

    private func send(_ type: String, _ data: DisplayData, id: String?) {
        outlet.drainOutput()
        let transient: JSON = id.map { ["display_id": .string($0)] } ?? [:]
        outlet.publish(OutgoingMessage(type, ["data": data.bundle, "metadata": data.bundleMetadata, "transient": transient], parent: parent))
    }
}
