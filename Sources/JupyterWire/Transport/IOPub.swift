import Glibc
import Threads

/// The broadcast channel: one thread owns the XPUB socket, any thread may publish. Messages leave in the order in which they were published.
public final class IOPub: Sendable {
    private enum Item: Sendable {
        case message(OutgoingMessage)
        case stream(StreamName, String, ParentHeader)
    }

    private struct Queue: Sendable {
        var items: [Item] = []
        var isClosed = false
    }

    private let socket: ZMQSocket
    private let session: WireSession
    private let greeting: OutgoingMessage
    private let queue = Monitor(Queue())
    private let signal = WakeSignal()

    /// - Parameters:
    ///   - socket: bound; used by this object's thread only.
    ///   - greeting: waits for the first subscriber, for nobody listens at the start; not sent when something else was published before.
    public init(socket: ZMQSocket, session: WireSession, greeting: OutgoingMessage) {
        self.socket = socket
        self.session = session
        self.greeting = greeting
    }

    public func publish(_ message: OutgoingMessage) { enqueue(.message(message)) }

    /// Output of a cell; joined with its neighbours.
    public func stream(_ name: StreamName, _ text: String, parent: ParentHeader) { enqueue(.stream(name, text, parent)) }

    private func enqueue(_ item: Item) {
        queue.withLock { $0.items.append(item) }
        signal.raise()
    }

    /// Ends the loop after everything published so far has been handed to libzmq.
    public func close() {
        queue.withLock { $0.isClosed = true }
        signal.raise()
    }

    /// The thread's loop; returns after `close()`, with the socket closed.
    public func run() {
        var coalescer = StreamCoalescer(), greeting: OutgoingMessage? = self.greeting
        while true {
            let (items, isClosed) = queue.withLock { queue in
                defer { queue.items = [] }
                return (queue.items, queue.isClosed)
            }
            for item in items { send(messages(for: item, &coalescer)) }
            if isClosed { break }
            if !items.isEmpty { greeting = nil }
            send(coalescer.due(now: monotonicNanoseconds()))
            let hasSubscription = ZMQPoll.wait(for: [socket], or: signal, milliseconds: timeout(coalescer.deadline))[0]
            if hasSubscription, welcome(), let first = greeting {
                send([first])
                greeting = nil
            }
        }
        send(coalescer.flush())
        socket.close()
    }

    private func messages(for item: Item, _ coalescer: inout StreamCoalescer) -> [OutgoingMessage] {
        switch item {
        case .message(let message): coalescer.pass(message)
        case .stream(let name, let text, let parent): coalescer.append(text, to: name, parent: parent, now: monotonicNanoseconds())
        }
    }

    private func timeout(_ deadline: UInt64?) -> Int {
        guard let deadline else { return -1 }
        let now = monotonicNanoseconds()
        return deadline <= now ? 0 : Int((deadline - now + 999_999) / 1_000_000)
    }

    private func send(_ messages: [OutgoingMessage]) {
        for message in messages {
            let topic = Array("kernel.\(session.id).\(message.type)".utf8)
            socket.send(session.seal(message, routing: [topic]))
        }
    }

    /// JEP 65: greets every new subscription under its own topic, so that a client knows it will miss nothing from here on.
    ///
    /// - Returns: whether there was one.
    private func welcome() -> Bool {
        var hasWelcomed = false
        while let event = socket.receive() {
            guard event.count == 1, event[0].first == 1, let topic = String(validating: event[0].dropFirst(), as: UTF8.self) else { continue }
            let message = OutgoingMessage("iopub_welcome", ["subscription": .string(topic)], parent: .none)
            socket.send(session.seal(message, routing: [Array(topic.utf8)]))
            hasWelcomed = true
        }
        return hasWelcomed
    }
}

/// Time since some fixed moment, in nanoseconds; never goes back.
public func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
