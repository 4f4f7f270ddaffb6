/// Content that a request of this type must not have; answered with an error reply.
public struct InvalidContent: Error, Equatable, Sendable {
    public var message: String
}

/// Reads members of a request's content: absent or `null` gives the default, the wrong type throws.
struct ContentReader {
    let type: String
    let content: JSON

    func value<T>(_ name: String, _ kind: String, default value: T, _ read: (JSON) -> T?) throws(InvalidContent) -> T {
        guard let member = content[name], !member.isNull else { return value }
        guard let result = read(member) else { throw InvalidContent(message: "\(type): “\(name)” must be \(kind)") }
        return result
    }

    func required<T>(_ name: String, _ kind: String, _ read: (JSON) -> T?) throws(InvalidContent) -> T {
        guard let result = try value(name, kind, default: nil, { read($0) }) else { throw InvalidContent(message: "\(type) needs “\(name)”, \(kind)") }
        return result
    }

    func text(_ name: String) throws(InvalidContent) -> String { try required(name, "a string") { $0.string } }
    func flag(_ name: String, default value: Bool) throws(InvalidContent) -> Bool { try self.value(name, "true or false", default: value) { $0.bool } }
    func integer(_ name: String) throws(InvalidContent) -> Int? { try value(name, "a whole number", default: nil) { $0.integer.map { .some($0) } } }
}

public struct ExecuteRequest: Sendable {
    public let code: String
    public let isSilent: Bool
    /// Never true for a silent request.
    public let storesHistory: Bool
    public let userExpressions: [String: JSON]
    public let allowsStdin: Bool
    public let stopsOnError: Bool

    public init(_ content: JSON) throws(InvalidContent) {
        let reader = ContentReader(type: "execute_request", content: content)
        code = try reader.text("code")
        isSilent = try reader.flag("silent", default: false)
        storesHistory = try reader.flag("store_history", default: true) && !isSilent
        userExpressions = try reader.value("user_expressions", "an object", default: [:]) { $0.object }
        allowsStdin = try reader.flag("allow_stdin", default: false)
        stopsOnError = try reader.flag("stop_on_error", default: true)
    }
}

/// `complete_request` and `inspect_request`: a text and a place in it.
public struct CursorRequest: Sendable {
    public let code: String
    /// Unicode code points from the start, inside the code whatever the client sent.
    public let cursor: Int
    /// 0 or 1; for inspection only.
    public let detailLevel: Int

    public init(_ content: JSON, type: String) throws(InvalidContent) {
        let reader = ContentReader(type: type, content: content)
        code = try reader.text("code")
        let length = code.unicodeScalars.count
        cursor = min(max(0, try reader.integer("cursor_pos") ?? length), length)
        detailLevel = try reader.integer("detail_level") ?? 0
    }
}

public struct IsCompleteRequest: Sendable {
    public let code: String

    public init(_ content: JSON) throws(InvalidContent) {
        code = try ContentReader(type: "is_complete_request", content: content).text("code")
    }
}

public struct HistoryRequest: Sendable {
    public enum Access: Sendable, Equatable {
        case tail(Int)
        /// `start ≤ line < stop`; session 0 is the current one, negative ones count back.
        case range(session: Int, start: Int, stop: Int?)
        case search(pattern: String, count: Int?, unique: Bool)
    }

    /// How many cells `tail` answers when the client does not say (IPython's number).
    private static let defaultTail = 10

    public let access: Access
    public let includesOutput: Bool

    public init(_ content: JSON) throws(InvalidContent) {
        let reader = ContentReader(type: "history_request", content: content)
        includesOutput = try reader.flag("output", default: false)
        let count = try reader.integer("n")
        switch try reader.text("hist_access_type") {
        case "tail":
            access = .tail(count ?? Self.defaultTail)
        case "range":
            access = .range(session: try reader.integer("session") ?? 0, start: try reader.integer("start") ?? 0, stop: try reader.integer("stop"))
        case "search":
            let pattern = try reader.value("pattern", "a string", default: "*") { $0.string }
            access = .search(pattern: pattern, count: count, unique: try reader.flag("unique", default: false))
        case let other:
            throw InvalidContent(message: "history_request: “hist_access_type” must be tail, range or search, not “\(other)”")
        }
    }
}

/// `comm_open`, `comm_msg`, `comm_close`.
public struct CommMessage: Sendable {
    public let id: String
    /// Of `comm_open`.
    public let target: String

    public init(_ content: JSON, type: String) throws(InvalidContent) {
        let reader = ContentReader(type: type, content: content)
        id = try reader.text("comm_id")
        target = try reader.value("target_name", "a string", default: "") { $0.string }
    }
}
