import Text

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
    func requireOnly(_ table: [(key: String, allowed: [JSON])]) throws {
        let container = try container(keyedBy: AnyKey.self)
        for (key, allowed) in table {
            guard let value = try container.decodeIfPresent(JSON.self, forKey: AnyKey(key)), value != .null else { continue }
            if !allowed.contains(value) {
                let supported = allowed.isEmpty ? "null" : allowed.map(\.description).joined(separator: ", ")
                throw ConfigurationError.unsupported(key: key, value: value.description, supported: supported)
            }
        }
    }
}
