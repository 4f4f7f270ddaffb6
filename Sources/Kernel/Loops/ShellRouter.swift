import JupyterWire
import Synchronization
import Threads

/// Owns the shell and stdin sockets: reads, verifies and hands on requests, sends all replies. Never runs anything itself.
final class ShellRouter: Sendable {
    enum Channel: Sendable { case shell, stdin }

    private struct Outgoing: Sendable {
        var channel: Channel
        var routing: [[UInt8]]
        var message: OutgoingMessage
        /// The question that the message puts.
        var question: Int?
    }

    private struct Outbox: Sendable {
        var messages: [Outgoing] = []
        var isClosed = false
    }

    /// Messages read in one go before replies are sent again.
    private static let turn = 64

    private let shell: ZMQSocket
    private let stdin: ZMQSocket
    private let session: WireSession
    private let log: KernelLog
    private let outbox = Monitor(Outbox())
    private let signal = WakeSignal()
    let input = InputBroker()

    init(shell: ZMQSocket, stdin: ZMQSocket, session: WireSession, log: KernelLog) {
        self.shell = shell
        self.stdin = stdin
        self.session = session
        self.log = log
    }

    /// Queues a reply for the thread that owns the sockets.
    func reply(_ message: OutgoingMessage, to routing: [[UInt8]]) { send(Outgoing(channel: .shell, routing: routing, message: message)) }

    /// Queues a question of the input broker likewise.
    func ask(_ message: OutgoingMessage, question: Int, to routing: [[UInt8]]) {
        send(Outgoing(channel: .stdin, routing: routing, message: message, question: question))
    }

    private func send(_ outgoing: Outgoing) {
        outbox.withLock { $0.messages.append(outgoing) }
        signal.raise()
    }

    /// Ends the loop after everything queued so far has been sent.
    func close() {
        outbox.withLock { $0.isClosed = true }
        signal.raise()
    }

    /// The thread's loop.
    /// - Parameter dispatch: takes a verified request to its subshell.
    func run(dispatch: (IncomingMessage) -> Void) {
        while !sendAll() {
            let ready = ZMQPoll.wait(for: [shell, stdin], or: signal, milliseconds: -1)
            if ready[0] { receive(from: shell, dispatch) }
            if ready[1] { receive(from: stdin, input.receive) }
        }
        shell.close()
        stdin.close()
    }

    /// - Returns: whether the loop is to end.
    private func sendAll() -> Bool {
        let (messages, isClosed) = outbox.withLock { outbox in
            defer { outbox.messages = [] }
            return (outbox.messages, outbox.isClosed)
        }
        for outgoing in messages {
            if let question = outgoing.question {
                // What has come in by now was meant for earlier questions.
                while receive(from: stdin, input.receive) == Self.turn {}
                input.open(question)
            }
            let socket = outgoing.channel == .shell ? shell : stdin
            socket.send(session.seal(outgoing.message, routing: outgoing.routing))
        }
        return isClosed
    }

    /// - Returns: how many messages were read, at most a turn's.
    @discardableResult
    private func receive(from socket: ZMQSocket, _ handle: (IncomingMessage) -> Void) -> Int {
        for count in 0..<Self.turn {
            guard let frames = socket.receive() else { return count }
            do {
                handle(try session.open(frames))
            } catch {
                log.dropped(error)
                ZMQSocket.releaseMemory(of: frames)
            }
        }
        return Self.turn
    }
}
