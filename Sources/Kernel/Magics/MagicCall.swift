/// A value that has been read and checked against its kind.
public enum OptionValue: Sendable, Equatable {
    case flag(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case list([OptionValue])
}

extension OptionValue {
    /// As the user could write it.
    public var text: String {
        switch self {
        case .flag(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .number(let value): String(value)
        case .text(let value): value
        case .list(let values): values.map(\.text).joined(separator: ",")
        }
    }
}

/// One use of a magic, its arguments read and checked. Asking for a name that the specification lacks is a programming error.
public struct MagicCall: Sendable {
    /// Of the subcommand when there is one.
    public let specification: MagicSpecification
    /// The subcommand's word.
    public let subcommand: String?
    /// Everything given by place, as text, in order.
    public let positionals: [String]
    /// Canonical names of the options the user wrote, in order, each once.
    public let given: [String]
    /// What stands below the first line of `%%name`; `nil` for `%name`.
    public let body: String?
    /// The line of the cell (from 1) where the body starts.
    public let bodyLine: Int
    let values: [String: [OptionValue]]
    /// Where each argument stands, in code points of the arguments.
    let ranges: [String: Range<Int>]

    /// Whether the user wrote the option or gave the positional.
    public func isGiven(_ name: String) -> Bool { values[name] != nil }

    /// The first value as text: what was given, else the default, else `nil`.
    public func string(_ name: String) -> String? { value(name)?.text }
    public func integer(_ name: String) -> Int? {
        if case .integer(let value) = value(name) { return value }
        return nil
    }
    public func number(_ name: String) -> Double? {
        switch value(name) {
        case .number(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }
    /// Whether a flag is on.
    public func isSet(_ flag: String) -> Bool { value(flag) == .flag(true) }
    /// All values of a repeatable or list argument, as text; its default when not given.
    public func strings(_ name: String) -> [String] { flattened(name).map(\.text) }
    public func integers(_ name: String) -> [Int] {
        flattened(name).compactMap { if case .integer(let value) = $0 { value } else { nil } }
    }
    public func numbers(_ name: String) -> [Double] {
        flattened(name).compactMap { if case .number(let value) = $0 { value } else { nil } }
    }
}
