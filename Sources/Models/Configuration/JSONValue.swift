/// Any JSON value: what a configuration holds under keys that are checked and not kept.
enum JSONValue: Decodable, Equatable, Sendable, CustomStringConvertible {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() { self = .null }
        else if let value = try? container.decode(Bool.self) { self = .bool(value) }
        else if let value = try? container.decode(Double.self) { self = .number(value) }
        else if let value = try? container.decode(String.self) { self = .string(value) }
        else if let value = try? container.decode([JSONValue].self) { self = .array(value) }
        else { self = .object(try container.decode([String: JSONValue].self)) }
    }

    var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let value): value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
        case .string(let value): "\"\(value)\""
        case .array(let values): "[\(values.map(\.description).joined(separator: ", "))]"
        case .object(let values): "an object of \(values.count) keys"
        }
    }
}

/// A value for all blocks, or one for each: `8` or `[5, 10, 20, 20]`.
public enum OneOrMany<Value: Codable & Equatable & Sendable>: Codable, Equatable, Sendable {
    case one(Value)
    case many([Value])

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Value.self) { self = .one(value) } else { self = .many(try container.decode([Value].self)) }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .one(let value): try container.encode(value)
        case .many(let values): try container.encode(values)
        }
    }

    /// The value of each of `count` blocks.
    ///
    /// - Throws: `ConfigurationError.invalid` when a list has another length.
    func values(_ count: Int, key: String) throws(ConfigurationError) -> [Value] {
        switch self {
        case .one(let value): return Array(repeating: value, count: count)
        case .many(let values):
            guard values.count == count else {
                throw .invalid(key: key, value: "\(values)", expected: "one value or \(count) of them, as there are blocks")
            }
            return values
        }
    }
}

extension OneOrMany: ExpressibleByIntegerLiteral where Value == Int {
    public init(integerLiteral value: Int) { self = .one(value) }
}

extension OneOrMany: ExpressibleByBooleanLiteral where Value == Bool {
    public init(booleanLiteral value: Bool) { self = .one(value) }
}

/// A coding key of any name.
struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer {
    /// Decodes a value when the key is there and not null; otherwise leaves the default.
    func read<Value: Decodable>(_ key: Key, into value: inout Value) throws {
        if let found = try decodeIfPresent(Value.self, forKey: key) { value = found }
    }

    /// The same for a value that may be absent: null means none, a missing key leaves the default.
    func readOptional<Value: Decodable>(_ key: Key, into value: inout Value?) throws {
        if contains(key) { value = try decodeIfPresent(Value.self, forKey: key) }
    }
}

extension Decoder {
    /// Refuses values of keys that stand for parts not built here.
    ///
    /// - Parameter table: keys with the values under which those parts are absent.
    /// - Throws: `ConfigurationError.unsupported`.
    func requireOnly(_ table: [(key: String, allowed: [JSONValue])]) throws {
        let container = try container(keyedBy: AnyKey.self)
        for (key, allowed) in table {
            guard let value = try container.decodeIfPresent(JSONValue.self, forKey: AnyKey(key)), value != .null else { continue }
            if !allowed.contains(value) {
                let supported = allowed.isEmpty ? "null" : allowed.map(\.description).joined(separator: ", ")
                throw ConfigurationError.unsupported(key: key, value: value.description, supported: supported)
            }
        }
    }
}
