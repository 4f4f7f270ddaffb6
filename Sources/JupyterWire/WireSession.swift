import CCrypto
import Glibc
import Synchronization

/// One run of a kernel on the wire: signs and dates what goes out, checks and parses what comes in. Shared by all channels, so that a message captured on
/// one is refused on every other.
public final class WireSession: Sendable {
    /// The protocol version whose rules the kernel follows.
    public static let protocolVersion = "5.5"

    /// The kernel's session id, new in each process.
    public let id: String
    private let signer: Signer
    private let replayGuard = ReplayGuard()
    private let counter = Atomic<Int>(0)

    public init(signer: Signer, id: String = randomIdentifier()) {
        self.signer = signer
        self.id = id
    }

    /// Checks, then parses: nothing that is not authentic reaches the JSON parser.
    /// - Throws: `WireError`; the message is to be dropped without an answer.
    public func open(_ frames: [[UInt8]]) throws(WireError) -> IncomingMessage {
        let frames = try Frames(splitting: frames)
        guard signer.verify(frames.signature, of: frames.parts) else { throw .wrongSignature }
        if signer.isEnabled, !replayGuard.admit(frames.signature) { throw .replayed }
        let header = try Self.object(frames.parts[0], "header")
        _ = try Self.object(frames.parts[1], "parent_header")
        return IncomingMessage(
            identities: frames.identities, parent: ParentHeader(bytes: frames.parts[0]), header: try MessageHeader(header),
            metadata: try Self.object(frames.parts[2], "metadata"), content: try Self.object(frames.parts[3], "content"), buffers: frames.buffers)
    }

    private static func object(_ bytes: [UInt8], _ name: String) throws(WireError) -> JSON {
        let value: JSON
        do {
            value = try JSON(parsing: bytes)
        } catch {
            throw error.reason == .invalidUTF8 ? .invalidUTF8(frame: name) : .invalidJSON(frame: name, error)
        }
        guard case .object = value else { throw .notAnObject(frame: name) }
        return value
    }

    /// Signed frames of a message.
    /// - Parameter routing: identities of a reply, or the topic of a broadcast.
    public func seal(_ message: OutgoingMessage, routing: [[UInt8]]) -> [[UInt8]] {
        let header = header(type: message.type)
        let parts = [header.bytes, message.parent.bytes, message.metadata.bytes, message.content.bytes]
        return Frames(identities: routing, signature: signer.sign(parts), parts: parts, buffers: message.buffers).joined
    }

    private func header(type: String) -> JSON {
        let number = counter.add(1, ordering: .relaxed).newValue
        return [
            "msg_id": .string("\(id)_\(number)"), "session": .string(id), "username": "kernel", "date": .string(currentDate()),
            "msg_type": .string(type), "version": .string(Self.protocolVersion),
        ]
    }
}

/// 128 random bits in the form of a UUID (version 4).
public func randomIdentifier() -> String {
    var bytes = [UInt8](repeating: 0, count: 16)
    RAND_bytes(&bytes, 16)
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let text = String(decoding: hexadecimal(bytes), as: UTF8.self)
    var parts: [Substring] = []
    var rest = text[...]
    for length in [8, 4, 4, 4, 12] {
        parts.append(rest.prefix(length))
        rest = rest.dropFirst(length)
    }
    return parts.joined(separator: "-")
}

/// Now in ISO 8601 with microseconds and zone: `2026-11-22T13:00:00.012345Z`.
func currentDate() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var seconds = now.tv_sec
    var calendar = tm()
    gmtime_r(&seconds, &calendar)
    func padded(_ value: some BinaryInteger, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let day = "\(padded(calendar.tm_year + 1900, 4))-\(padded(calendar.tm_mon + 1, 2))-\(padded(calendar.tm_mday, 2))"
    let time = "\(padded(calendar.tm_hour, 2)):\(padded(calendar.tm_min, 2)):\(padded(calendar.tm_sec, 2)).\(padded(now.tv_nsec / 1000, 6))"
    return "\(day)T\(time)Z"
}
