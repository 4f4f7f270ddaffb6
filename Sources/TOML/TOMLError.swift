/// A text is no TOML: where, and what was found and expected there.
public struct TOMLError: Error, Equatable, Sendable {
    /// Lines are counted from the number of the text's first line, columns from 1 in Unicode code points.
    public let line: Int, column: Int
    /// What was expected and what was found.
    public let reason: String
    /// The line at fault, its end left out when it is long.
    public let text: String
}

extension TOMLError: CustomStringConvertible {
    public var description: String { "line \(line), column \(column): \(reason)" }
}
