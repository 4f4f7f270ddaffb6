/// A JSON value (RFC 8259): of a message's frames, or of a file that describes a model or an adapter.
///
/// Reading and writing have manners that Foundation's coders lack: lone surrogates become U+FFFD instead of an error, integers may
/// arrive as `1.0`, a value that is not finite leaves as `null`, and depth is limited. See `JSONReader` and `bytes`.
public enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])
}

extension JSON {
    /// The member named `key`, or `nil` when this is no object or has no such member.
    public subscript(_ key: String) -> JSON? {
        if case .object(let members) = self { return members[key] }
        return nil
    }

    public var string: String? {
        if case .string(let text) = self { return text }
        return nil
    }

    public var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    /// The value as a whole number; `1.0` counts as 1, as JavaScript clients write it.
    public var integer: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    public var array: [JSON]? {
        if case .array(let elements) = self { return elements }
        return nil
    }

    public var object: [String: JSON]? {
        if case .object(let members) = self { return members }
        return nil
    }

    public var isNull: Bool { self == .null }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(Dictionary(elements) { _, last in last }) }
    public init(nilLiteral: ()) { self = .null }
}

extension JSON: CustomStringConvertible {
    /// As an error names a value: whole numbers without a point, objects by their size.
    public var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): Int(exactly: value).map { "\($0)" } ?? "\(value)"
        case .string(let value): "\"\(value)\""
        case .array(let values): "[\(values.map(\.description).joined(separator: ", "))]"
        case .object(let members): "an object of \(members.count) keys"
        }
    }
}

extension JSON: Decodable {
    /// Any value under a key that a coder reads.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        self = if container.decodeNil() { .null }
            else if let value = try? container.decode(Bool.self) { .bool(value) }
            else if let value = try? container.decode(Int.self) { .integer(value) }
            else if let value = try? container.decode(Double.self) { .number(value) }
            else if let value = try? container.decode(String.self) { .string(value) }
            else if let value = try? container.decode([JSON].self) { .array(value) }
            else { .object(try container.decode([String: JSON].self)) }
    }
}
