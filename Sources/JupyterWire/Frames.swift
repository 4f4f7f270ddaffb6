/// A multipart message taken apart at the delimiter: `identities… , <IDS|MSG>, signature, header, parent, metadata, content, buffers…`.
public struct Frames: Sendable, Equatable {
    public static let delimiter = Array("<IDS|MSG>".utf8)

    /// Routing frames before the delimiter, echoed in front of a reply in the same order.
    public var identities: [[UInt8]]
    public var signature: [UInt8]
    /// Header, parent header, metadata, content: the signed part.
    public var parts: [[UInt8]]
    /// Unsigned binary frames.
    public var buffers: [[UInt8]]

    public init(identities: [[UInt8]], signature: [UInt8], parts: [[UInt8]], buffers: [[UInt8]] = []) {
        precondition(parts.count == 4, "a message has 4 signed parts, not \(parts.count)")
        self.identities = identities
        self.signature = signature
        self.parts = parts
        self.buffers = buffers
    }

    /// Splits at the first frame equal to the delimiter.
    public init(splitting frames: [[UInt8]]) throws(WireError) {
        guard let index = frames.firstIndex(of: Self.delimiter) else { throw .missingDelimiter }
        let rest = frames[(index + 1)...]
        guard rest.count >= 5 else { throw .tooFewFrames(rest.count) }
        identities = Array(frames[..<index])
        signature = rest[index + 1]
        parts = Array(rest[(index + 2)..<(index + 6)])
        buffers = Array(rest[(index + 6)...])
    }

    /// All frames in the order of the wire.
    public var joined: [[UInt8]] { identities + [Self.delimiter, signature] + parts + buffers }
}
