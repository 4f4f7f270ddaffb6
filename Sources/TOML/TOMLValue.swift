/// A value of a TOML document (toml.io/en/v1.0.0).
public enum TOMLValue: Sendable {
    case string(String)
    case integer(Int)
    case float(Double)
    case boolean(Bool)
    /// A date, a time or both, as it was written.
    case dateTime(String)
    case array([TOMLValue])
    case table(TOMLTable)

    public var array: [TOMLValue]? { if case .array(let elements) = self { elements } else { nil } }
    public var table: TOMLTable? { if case .table(let table) = self { table } else { nil } }
}

/// Keys with their values, in the order of the text.
public struct TOMLTable: Sendable {
    public private(set) var keys: [String] = []
    private var entries: [String: (value: TOMLValue, line: Int)] = [:]

    init() {}

    public subscript(key: String) -> TOMLValue? { entries[key]?.value }

    /// The line on which a key was first written.
    public func line(of key: String) -> Int? { entries[key]?.line }

    /// - Parameter key: one that the table does not have yet.
    mutating func append(_ key: String, _ value: TOMLValue, line: Int) {
        keys.append(key)
        entries[key] = (value, line)
    }
}

// MARK: - As text

extension TOMLValue: CustomStringConvertible {
    /// The value as a TOML document could hold it, on one line.
    public var description: String {
        switch self {
        case .string(let text): Self.quoted(text)
        case .integer(let value): String(value)
        case .float(let value): value.isNaN ? "nan" : String(value)
        case .boolean(let value): String(value)
        case .dateTime(let text): text
        case .array(let elements): "[\(elements.map(\.description).joined(separator: ", "))]"
        case .table(let table): "{\(table.lines.joined(separator: ", "))}"
        }
    }

    fileprivate static func quoted(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "\"") { quoted, scalar in
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\u{0}"..<" ", "\u{7F}": quoted += "\\U" + String(String(0x1_0000_0000 + UInt64(scalar.value), radix: 16).dropFirst())
            default: quoted.unicodeScalars.append(scalar)
            }
        } + "\""
    }
}

extension TOMLTable: CustomStringConvertible {
    /// The table as a document of one line for each key.
    public var description: String { lines.map { $0 + "\n" }.joined() }

    fileprivate var lines: [String] {
        keys.compactMap { key in
            let isBare = !key.isEmpty && key.unicodeScalars.allSatisfy(\.isBareKey)
            return self[key].map { "\(isBare ? key : TOMLValue.quoted(key)) = \($0)" }
        }
    }
}

extension Unicode.Scalar {
    /// `A`–`Z`, `a`–`z`, `0`–`9`, `-` and `_`: what a key may hold without quotes.
    var isBareKey: Bool {
        switch self {
        case "A"..."Z", "a"..."z", "0"..."9", "-", "_": true
        default: false
        }
    }
}
