import Kernel
import TOML
import Text
import Training

/// What a user asked for, by Kohya's names: read and checked one by one, not applied yet.
public struct Settings: Sendable, Equatable {
    /// Canonical name → values, several for a repeatable setting.
    private(set) var values: [String: [OptionValue]] = [:]
    /// Keys of Kohya's files that mean nothing here, with the reason.
    private(set) var ignored: [(key: String, reason: String)] = []

    public init() {}

    public static func == (a: Settings, b: Settings) -> Bool { a.values == b.values && a.ignored.map(\.key) == b.ignored.map(\.key) }

    /// The options that a magic's line gave.
    init(_ call: MagicCall, of table: [OptionSpecification]) throws {
        for option in table where call.given.contains(option.name) {
            let texts = call.strings(option.name)
            if case .list = option.kind {
                try set(option, to: texts.joined(separator: ","))
            } else {
                for text in texts { try set(option, to: text) }
            }
        }
    }

    /// `key=value`, as `%set` takes them; a key alone switches a flag on.
    init(assignments: [String], of table: [OptionSpecification]) throws {
        for assignment in assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let option = try Self.option(named: parts[0], in: table)
            guard parts.count == 2 || option.kind == .flag else {
                throw LabError.invalid("\(parts[0]) needs a value: \(option.kind.expectation)", wayOut: "Write \(option.name)=value, without blanks.")
            }
            try set(option, to: parts.count == 2 ? parts[1] : "true")
        }
    }

    /// Kohya's training TOML: sections are only for the eye, all keys are one flat list (sd-scripts' `--config_file`).
    ///
    /// - Parameter firstLine: the line of the cell on which the text begins.
    /// - Throws: `LabError.toml` with the place for text that is no TOML, `.unknownKey` with the nearest, `MagicError` for a value out of range.
    init(toml text: String, firstLine: Int = 1, of table: [OptionSpecification]) throws {
        try read(Self.document(text, firstLine: firstLine), table)
    }

    /// Values of one table of a TOML document.
    init(_ values: [String: TOMLValue], of table: [OptionSpecification]) throws {
        for (key, value) in values.sorted(by: { $0.key < $1.key }) { try read(key, value, table) }
    }

    static func document(_ text: String, firstLine: Int) throws(LabError) -> TOMLTable {
        do { return try TOMLTable(text, firstLine: firstLine) } catch {
            let place = error.text.allSatisfy(\.isWhitespace) ? "" : ", in “\(error.text.trimmingPrefix { $0.isWhitespace })”"
            throw .toml(error.reason + place, line: error.line, column: error.column)
        }
    }

    private mutating func read(_ table: TOMLTable, _ options: [OptionSpecification]) throws {
        for key in table.keys.sorted() {
            guard let value = table[key] else { continue }
            if let section = value.table { try read(section, options) } else { try read(key, value, options, line: table.line(of: key)) }
        }
    }

    private mutating func read(_ key: String, _ value: TOMLValue, _ options: [OptionSpecification], line: Int? = nil) throws {
        if let reason = KohyaNames.ignored[key], !options.contains(where: { $0.name == key }) {
            ignored.append((key, reason))
        } else {
            let option = try Self.option(named: key, in: options)
            guard let texts = Self.texts(of: value, kind: option.kind) else {
                throw LabError.toml("\(key) = \("\(value)".prefix(80)) is neither text, number, true or false, nor a list of these", line: line, column: nil)
            }
            for text in texts { try set(option, to: text) }
        }
    }

    /// A TOML value as the user would have typed it; an array is a list, or several values of a repeatable setting. nil for tables and dates.
    private static func texts(of value: TOMLValue, kind: ValueKind) -> [String]? {
        switch value {
        case .string(let text): return [text]
        case .integer(let whole): return [String(whole)]
        case .float(let number): return [String(number)]
        case .boolean(let isOn): return [String(isOn)]
        case .dateTime, .table: return nil
        case .array(let elements):
            var all: [String] = []
            for element in elements {
                guard let texts = texts(of: element, kind: kind) else { return nil }
                all += texts
            }
            if case .list = kind { return [all.joined(separator: ",")] }
            return all
        }
    }

    static func option(named name: String, in table: [OptionSpecification]) throws -> OptionSpecification {
        func plain(_ text: String) -> String { text.lowercased().replacing("-", with: "_") }
        let wanted = plain(name)
        if let found = table.first(where: { ([$0.name] + $0.aliases).map(plain).contains(wanted) }) { return found }
        throw LabError.unknownKey(name, nearest: nearestName(to: name, among: table.flatMap { [$0.name] + $0.aliases }))
    }

    private mutating func set(_ option: OptionSpecification, to text: String) throws {
        let value = try option.kind.value(of: text, named: option.aliases.first ?? option.name, at: option.name)
        if option.isRepeatable { values[option.name, default: []].append(value) } else { values[option.name] = [value] }
    }

    // MARK: Reading

    public var isEmpty: Bool { values.isEmpty }
    public func isGiven(_ name: String) -> Bool { values[name] != nil }
    func text(_ name: String) -> String? { values[name]?.first?.text }
    func texts(_ name: String) -> [String]? { values[name]?.map(\.text) }
    func flag(_ name: String) -> Bool? { values[name]?.first.map { $0 == .flag(true) } }

    func integer(_ name: String) -> Int? {
        if case .integer(let value)? = values[name]?.first { return value }
        return nil
    }

    func integers(_ name: String) -> [Int] {
        (values[name] ?? []).flatMap { value -> [OptionValue] in if case .list(let elements) = value { elements } else { [value] } }
            .compactMap { if case .integer(let value) = $0 { value } else { nil } }
    }

    func number(_ name: String) -> Double? {
        switch values[name]?.first {
        case .number(let value)?: value
        case .integer(let value)?: Double(value)
        default: nil
        }
    }

    /// These, and over them what `other` says.
    public func merging(_ other: Settings) -> Settings {
        var merged = self
        merged.values.merge(other.values) { _, new in new }
        merged.ignored += other.ignored
        return merged
    }

    /// Only the values of these names.
    func restricted(to names: [String]) -> Settings {
        var rest = Settings()
        rest.values = values.filter { names.contains($0.key) }
        return rest
    }

    /// `learning_rate = 0.0001`, one a line, in the table's order.
    func lines(_ table: [OptionSpecification]) -> [String] {
        table.compactMap { option in values[option.name].map { "\(option.name) = \($0.map(\.text).joined(separator: ", "))" } }
    }
}

extension Settings {
    /// What `%train` was asked for: the TOML below its first line, and over it the flags of the line.
    init(train call: MagicCall) throws {
        let body = try call.body.map { try Settings(toml: $0, firstLine: max(call.bodyLine, 1), of: KohyaNames.all) } ?? Settings()
        self = try body.merging(Settings(call, of: KohyaNames.all))
    }

    /// What `%set key=value` posts.
    package static func posted(_ assignments: [String]) throws -> Settings { try Settings(assignments: assignments, of: KohyaNames.all) }

    /// The configuration that `%train` makes of its arguments and body, over the plain defaults.
    package static func configuration(trainArguments: String, body: String? = nil) throws -> TrainingConfiguration {
        let call = try MagicCall(arguments: trainArguments, of: TrainMagic.specification, body: body)
        var configuration = TrainingConfiguration()
        try Settings(train: call).apply(to: &configuration)
        return configuration
    }
}
