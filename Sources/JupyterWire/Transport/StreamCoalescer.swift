/// Which of the two output streams.
public enum StreamName: String, Sendable {
    case stdout, stderr
}

/// Gathers output into few `stream` messages: text of one stream of one request is joined until 64 KiB are there, 50 ms have passed, or anything else is published.
///
/// A state machine without I/O: every method returns what is to be sent now, in order.
package struct StreamCoalescer {
    /// Bytes of text that are sent at once.
    package static let sizeLimit = 64 << 10
    /// How long text may wait for more, in nanoseconds.
    package static let delay: UInt64 = 50_000_000

    private struct Pending {
        var name: StreamName
        var parent: ParentHeader
        var text: String
        var deadline: UInt64
    }

    private var pending: Pending?

    package init() {}

    /// When waiting text is due (monotonic nanoseconds), if there is any.
    package var deadline: UInt64? { pending?.deadline }

    /// - Parameter now: monotonic nanoseconds.
    package mutating func append(_ text: String, to name: StreamName, parent: ParentHeader, now: UInt64) -> [OutgoingMessage] {
        guard !text.isEmpty else { return [] }
        var sent: [OutgoingMessage] = []
        if let waiting = pending, waiting.name != name || waiting.parent != parent { sent = flush() }
        if pending == nil {
            pending = Pending(name: name, parent: parent, text: text, deadline: now + Self.delay)
        } else {
            pending!.text += text
        }
        if pending!.text.utf8.count >= Self.sizeLimit { sent += flush() }
        return sent
    }

    /// What was waiting, then the message itself: order is kept.
    package mutating func pass(_ message: OutgoingMessage) -> [OutgoingMessage] { flush() + [message] }

    /// What is due at `now`.
    package mutating func due(now: UInt64) -> [OutgoingMessage] {
        guard let deadline, deadline <= now else { return [] }
        return flush()
    }

    package mutating func flush() -> [OutgoingMessage] {
        guard let waiting = pending else { return [] }
        pending = nil
        return [OutgoingMessage("stream", ["name": .string(waiting.name.rawValue), "text": .string(waiting.text)], parent: waiting.parent)]
    }
}
