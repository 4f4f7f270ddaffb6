import JupyterWire
import Synchronization

/// Owns the control socket: interrupt, shutdown, kernel_info and the administration of subshells are answered here, whatever the cells are doing.
final class ControlLoop: Sendable {
    private let socket: ZMQSocket
    private let session: WireSession
    private let configuration: KernelConfiguration
    private let subshells: SubshellTable
    private let outlet: any MessageOutlet
    private let log: KernelLog
    private let shutDown: @Sendable (_ restart: Bool) -> Void
    private let usage = UsageMeter()
    private let isClosed = Atomic<Bool>(false)
    private let signal = WakeSignal()

    init(
        socket: ZMQSocket, session: WireSession, configuration: KernelConfiguration, subshells: SubshellTable, outlet: any MessageOutlet, log: KernelLog,
        shutDown: @escaping @Sendable (Bool) -> Void
    ) {
        self.socket = socket
        self.session = session
        self.configuration = configuration
        self.subshells = subshells
        self.outlet = outlet
        self.log = log
        self.shutDown = shutDown
    }

    func close() {
        isClosed.store(true, ordering: .releasing)
        signal.raise()
    }

    /// The thread's loop.
    func run() {
        while !isClosed.load(ordering: .acquiring) {
            guard ZMQPoll.wait(for: [socket], or: signal, milliseconds: -1)[0] else { continue }
            while let frames = socket.receive() {
                do {
                    handle(try session.open(frames))
                } catch {
                    log.dropped(error)
                    ZMQSocket.releaseMemory(of: frames)
                }
            }
        }
        socket.close()
    }

    private func handle(_ request: IncomingMessage) {
        outlet.status("busy", parent: request.parent)
        let content = answer(request)
        if let content, let type = replyType(of: request.type) {
            socket.send(session.seal(OutgoingMessage(type, content, parent: request.parent), routing: request.identities))
        }
        let restart = request.type == "shutdown_request" ? content?["restart"]?.bool : nil
        if let content, restart != nil { outlet.publish(OutgoingMessage("shutdown_reply", content, parent: request.parent)) }
        outlet.status("idle", parent: request.parent)
        if let restart { shutDown(restart) }
    }

    /// - Returns: content of the reply, or `nil` for a type that is not answered.
    private func answer(_ request: IncomingMessage) -> JSON? {
        switch request.type {
        case "kernel_info_request": return KernelInformation(configuration).content
        case "interrupt_request":
            subshells.interrupt()
            return ["status": "ok"]
        case "shutdown_request": return ["status": "ok", "restart": .bool(request.content["restart"]?.bool ?? false)]
        case "create_subshell_request": return ["status": "ok", "subshell_id": .string(subshells.create())]
        case "delete_subshell_request": return delete(request.content["subshell_id"]?.string)
        case "list_subshell_request": return ["status": "ok", "subshell_id": .array(subshells.identifiers.map { .string($0) })]
        case "usage_request": return usage.content
        case "debug_request": return refuseDebugging(request.content)
        default: return nil
        }
    }

    private func delete(_ id: String?) -> JSON {
        guard let id else { return Self.error("InvalidContent", "delete_subshell_request needs “subshell_id”, a string") }
        return subshells.delete(id) ? ["status": "ok"] : Self.error("UnknownSubshell", "there is no subshell \(quoted(id))")
    }

    /// A Debug Adapter Protocol response that says no.
    private func refuseDebugging(_ request: JSON) -> JSON {
        guard case .object(var content) = Self.error("NotSupported", "this kernel has no debugger") else { return [:] }
        content["type"] = "response"
        content["success"] = false
        content["message"] = "this kernel has no debugger"
        content["command"] = request["command"] ?? ""
        content["request_seq"] = request["seq"] ?? 0
        content["seq"] = 0
        return .object(content)
    }

    private static func error(_ name: String, _ message: String) -> JSON {
        CellFailure(MagicError(name, message)).content(of: "", executionCount: nil)
    }
}
