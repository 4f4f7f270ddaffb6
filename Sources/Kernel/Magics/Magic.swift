import JupyterWire

/// JSON as it appears in display data and message contents.
public typealias JSON = JupyterWire.JSON

/// A command of a cell: `%name arguments` on a line of its own, or `%%name arguments` with the rest of the cell as its body.
///
/// The specification is the only description of a magic: the same table parses arguments, writes help, completes and inspects.
public protocol Magic: Sendable {
    var specification: MagicSpecification { get }

    /// Does the work, synchronously, on the thread of the cell.
    ///
    /// Arguments have been checked against the specification. Long work polls `cell.isInterrupted` or registers `cell.onInterrupt`, and ends by
    /// throwing what `cell.checkInterrupted()` throws.
    /// - Throws: `MagicError` for what the user can put right; any other error is shown with its description.
    func run(_ call: MagicCall, in cell: CellContext) throws

    /// Values to offer for a positional or an option beyond what its kind knows (names of runs, saved epochs). Called from another thread, also while a
    /// cell runs; must answer within milliseconds.
    func suggestions(for argument: String, of subcommand: String?) -> [String]
}

extension Magic {
    public func suggestions(for argument: String, of subcommand: String?) -> [String] { [] }
}

/// What the kernel knows about a magic: its grammar and its documentation in one table.
public struct MagicSpecification: Sendable {
    /// Without `%`.
    public var name: String
    /// One sentence, shown in lists.
    public var summary: String
    /// Paragraphs shown below the summary in help; Markdown.
    public var details: String
    public var positionals: [PositionalSpecification]
    public var options: [OptionSpecification]
    /// What `%%name` takes below its first line.
    public var body: MagicBody
    /// Lines a user could type, shown in help.
    public var examples: [String]
    /// Forms chosen by the first word (`%dataset prepare SRC DST`); their `name` is that word.
    public var subcommands: [MagicSpecification]
    /// Whether it may run on a subshell while another cell is running a magic (it only reads, or posts to a mailbox).
    public var runsAlongside: Bool

    public init(
        name: String, summary: String, details: String = "", positionals: [PositionalSpecification] = [], options: [OptionSpecification] = [],
        body: MagicBody = .none, examples: [String] = [], subcommands: [MagicSpecification] = [], runsAlongside: Bool = false
    ) {
        self.name = name
        self.summary = summary
        self.details = details
        self.positionals = positionals
        self.options = options
        self.body = body
        self.examples = examples
        self.subcommands = subcommands
        self.runsAlongside = runsAlongside
    }
}

/// What stands below the first line of `%%name`.
public enum MagicBody: Sendable, Equatable {
    /// Nothing; the magic exists as `%name` only.
    case none
    /// A TOML document.
    case toml
    /// One item a line.
    case lines
}

/// An argument known by its place.
public struct PositionalSpecification: Sendable {
    public var name: String
    public var kind: ValueKind
    public var summary: String
    public var isOptional: Bool
    /// Takes all remaining words, one value each; only the last positional may.
    public var isRepeatable: Bool

    public init(_ name: String, _ kind: ValueKind = .text, _ summary: String = "", isOptional: Bool = false, isRepeatable: Bool = false) {
        self.name = name
        self.kind = kind
        self.summary = summary
        self.isOptional = isOptional
        self.isRepeatable = isRepeatable
    }
}

/// An argument known by its name, `--name value`; `-` and `_` in names are the same.
public struct OptionSpecification: Sendable {
    public var name: String
    public var aliases: [String]
    public var kind: ValueKind
    /// As the user would write it; what `MagicCall` answers when the option is not given.
    public var defaultValue: String?
    public var summary: String
    /// May be given several times; `MagicCall.strings` answers all values in order.
    public var isRepeatable: Bool

    public init(
        _ name: String, aliases: [String] = [], _ kind: ValueKind, default defaultValue: String? = nil, _ summary: String, isRepeatable: Bool = false
    ) {
        self.name = name
        self.aliases = aliases
        self.kind = kind
        self.defaultValue = defaultValue
        self.summary = summary
        self.isRepeatable = isRepeatable
    }
}

/// What a value may be.
public indirect enum ValueKind: Sendable, Equatable {
    /// `--name` alone is true, `--no-name` false; `--name=false` works too. For options only.
    case flag
    case integer(ClosedRange<Int>)
    case number(NumberRange)
    /// One word, or a quoted text.
    case text
    /// All words up to the next `--option`, joined by spaces: a prompt need not be quoted.
    case sentence
    /// One of these words; case and `-`/`_` do not matter.
    case choice([String])
    case path(PathKind)
    /// Values separated by commas: `512,768`.
    case list(ValueKind)
}

/// Which paths completion offers; the grammar does not ask whether the path exists.
public enum PathKind: Sendable, Equatable {
    case any
    case folder
    /// Files with one of these extensions (without the dot); folders on the way are offered too.
    case file([String])
}

/// A range of finite numbers, each end open or closed.
public struct NumberRange: Sendable, Equatable {
    public var lower: Double
    public var upper: Double
    public var lowerIsExclusive: Bool
    public var upperIsExclusive: Bool

    public init(_ lower: Double, _ upper: Double, lowerIsExclusive: Bool = false, upperIsExclusive: Bool = false) {
        precondition(lower <= upper, "NumberRange from \(lower) to \(upper) is empty")
        self.lower = lower
        self.upper = upper
        self.lowerIsExclusive = lowerIsExclusive
        self.upperIsExclusive = upperIsExclusive
    }

    /// `lower ≤ x ≤ upper`.
    public static func closed(_ range: ClosedRange<Double>) -> NumberRange { NumberRange(range.lowerBound, range.upperBound) }
    /// `0 < x ≤ upper`.
    public static func positive(upTo upper: Double = .infinity) -> NumberRange { NumberRange(0, upper, lowerIsExclusive: true) }
    /// `0 ≤ x ≤ upper`.
    public static func nonNegative(upTo upper: Double = .infinity) -> NumberRange { NumberRange(0, upper) }
    /// Every finite number.
    public static let finite = NumberRange(-.infinity, .infinity)

    /// Whether `x` is finite and inside.
    public func contains(_ x: Double) -> Bool {
        x.isFinite && (lowerIsExclusive ? x > lower : x >= lower) && (upperIsExclusive ? x < upper : x <= upper)
    }
}
