import Text

/// Why a message from the wire is not what the protocol says. Such messages are dropped, never answered: their sender is unknown.
public enum WireError: Error, Equatable, Sendable {
    case missingDelimiter
    case tooFewFrames(Int)
    case wrongSignature
    /// A message with this signature has been received before.
    case replayed
    case invalidUTF8(frame: String)
    case invalidJSON(frame: String, JSONError)
    case notAnObject(frame: String)
    case missingHeaderField(String)
}

/// The kernel cannot start: shown on standard error, ends the process with status 1.
public struct ConnectionError: Error, CustomStringConvertible, Sendable {
    public var description: String
    public init(_ description: String) { self.description = description }
}
