import Text

/// A verified, parsed request.
public struct IncomingMessage: Sendable {
    public let identities: [[UInt8]]
    /// The header as it came: the parent header of everything this request causes, unknown keys included.
    public let parent: ParentHeader
    public let header: MessageHeader
    public let metadata: JSON
    public let content: JSON
    public let buffers: [[UInt8]]

    public var type: String { header.type }
}

/// The raw bytes of a request's header, `{}` when there was no request.
public struct ParentHeader: Sendable, Equatable {
    public let bytes: [UInt8]
    public static let none = ParentHeader(bytes: Array("{}".utf8))

    public init(bytes: [UInt8]) { self.bytes = bytes }
}

/// A message to be sent.
public struct OutgoingMessage: Sendable {
    public var type: String
    public var content: JSON
    public var metadata: JSON
    public var parent: ParentHeader
    public var buffers: [[UInt8]]

    public init(_ type: String, _ content: JSON, metadata: JSON = [:], parent: ParentHeader, buffers: [[UInt8]] = []) {
        self.type = type
        self.content = content
        self.metadata = metadata
        self.parent = parent
        self.buffers = buffers
    }
}
