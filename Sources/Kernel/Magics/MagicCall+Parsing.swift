import Text

extension MagicCall {
    /// Reads the arguments of a magic: `[positional]… [--flag value]…` in any order.
    /// - Throws: `MagicError` naming what was given, what is allowed and the nearest valid name.
    public init(arguments: String, of specification: MagicSpecification, body: String? = nil, bodyLine: Int = 2) throws {
        do {
            self = try ArgumentReader.call(arguments, specification, body: body, bodyLine: bodyLine)
        } catch {
            throw error.error
        }
    }

    func value(_ name: String) -> OptionValue? {
        if let given = values[name]?.first { return given }
        let kind = kindAndDefault(of: name)
        guard let text = kind.defaultValue else { return nil }
        return defaultValue(text, kind.kind, name)
    }

    func flattened(_ name: String) -> [OptionValue] {
        (values[name] ?? value(name).map { [$0] } ?? []).flatMap { value in
            if case .list(let elements) = value { elements } else { [value] }
        }
    }

    private func kindAndDefault(of name: String) -> (kind: ValueKind, defaultValue: String?) {
        if let option = specification.options.first(where: { $0.name == name }) { return (option.kind, option.defaultValue) }
        guard let positional = specification.positionals.first(where: { $0.name == name }) else {
            preconditionFailure("%\(specification.name) declares no argument “\(name)”")
        }
        return (positional.kind, nil)
    }

    private func defaultValue(_ text: String, _ kind: ValueKind, _ name: String) -> OptionValue {
        do {
            return try kind.value(of: text, named: name)
        } catch {
            preconditionFailure("the default of %\(specification.name) --\(name): \(error.message)")
        }
    }
}

/// Walks the words of one call, from left to right.
struct ArgumentReader {
    private let specification: MagicSpecification
    private let words: [ArgumentWord]
    private var index: Int
    private var values: [String: [OptionValue]] = [:]
    private var given: [String] = []
    private var ranges: [String: Range<Int>] = [:]
    private var placed: [ArgumentWord] = []

    static func call(_ arguments: String, _ specification: MagicSpecification, body: String?, bodyLine: Int) throws(ArgumentFault) -> MagicCall {
        let words = try ArgumentSplitter.words(of: arguments)
        let subcommand = words.first.flatMap { word in specification.subcommands.first { $0.name == word.text && !word.isQuoted } }
        var reader = ArgumentReader(specification: subcommand ?? specification, words: words, index: subcommand == nil ? 0 : 1)
        try reader.checkSubcommand(subcommand, of: specification)
        try reader.readAll()
        try reader.placePositionals()
        return MagicCall(
            specification: reader.specification, subcommand: subcommand?.name, positionals: reader.placed.map(\.text), given: reader.given, body: body,
            bodyLine: bodyLine, values: reader.values, ranges: reader.ranges)
    }

    private init(specification: MagicSpecification, words: [ArgumentWord], index: Int) {
        self.specification = specification
        self.words = words
        self.index = index
    }

    /// A word where only a subcommand may stand must be one.
    private func checkSubcommand(_ subcommand: MagicSpecification?, of whole: MagicSpecification) throws(ArgumentFault) {
        guard subcommand == nil, !whole.subcommands.isEmpty, whole.positionals.isEmpty, let word = words.first, !isOption(word) else { return }
        let names = whole.subcommands.map(\.name)
        let nearest = nearestName(to: word.text, among: names).map { "Did you mean %\(whole.name) \($0)?" }
        throw ArgumentFault(
            MagicError("%\(whole.name) takes one of \(names.joined(separator: ", ")), got \(quoted(word.text))", hint: nearest), word.range)
    }

    private mutating func readAll() throws(ArgumentFault) {
        var optionsEnded = false
        while index < words.count {
            let word = words[index]
            index += 1
            if !optionsEnded, !word.isQuoted, word.text == "--" {
                optionsEnded = true
            } else if !optionsEnded, isOption(word) {
                try readOption(word)
            } else {
                placed.append(word)
            }
        }
    }

    /// `--name`; `-x` too when it is known or cannot be part of a sentence; negative numbers are values.
    private func isOption(_ word: ArgumentWord) -> Bool {
        guard !word.isQuoted, word.text.hasPrefix("-") else { return false }
        let name = word.text.drop { $0 == "-" }
        guard let first = name.unicodeScalars.first, first.properties.isAlphabetic || first == "_", Double(word.text) == nil else { return false }
        if word.text.hasPrefix("--") { return true }
        return option(named: String(name.prefix { $0 != "=" })) != nil || !specification.positionals.contains { $0.kind == .sentence }
    }

    private func option(named name: String) -> OptionSpecification? {
        let wanted = normalizedName(name)
        return specification.options.first { option in ([option.name] + option.aliases).contains { normalizedName($0) == wanted } }
    }

    private mutating func readOption(_ word: ArgumentWord) throws(ArgumentFault) {
        let parts = word.text.drop { $0 == "-" }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        let inline = parts.count == 2 ? String(parts[1]) : nil
        if let option = option(named: name) {
            try store(try optionText(option, shown: "--\(name)", inline: inline, word), of: option, shown: "--\(name)")
        } else if normalizedName(name).hasPrefix("no_"), let flag = option(named: String(name.dropFirst(3))), flag.kind == .flag, inline == nil {
            try store(("false", word.range), of: flag, shown: "--\(name)")
        } else {
            throw unknownOption(name, word)
        }
    }

    /// The text of an option's value and where it stands.
    private mutating func optionText(
        _ option: OptionSpecification, shown: String, inline: String?, _ word: ArgumentWord
    ) throws(ArgumentFault) -> (String, Range<Int>) {
        if option.kind == .flag { return (inline ?? "true", word.range) }
        if let inline, option.kind != .sentence { return (inline, word.range) }
        var texts = inline.map { [$0] } ?? []
        let first = index
        while index < words.count, !isOption(words[index]), texts.isEmpty || option.kind == .sentence || continuesList(option.kind, texts) {
            texts.append(words[index].text)
            index += 1
        }
        guard !texts.isEmpty else {
            throw ArgumentFault(MagicError("\(shown) needs a value: \(option.kind.expectation)", hint: "For example \(option.example)."), word.range)
        }
        let start = first < index ? words[first].range.lowerBound : word.range.lowerBound
        return (texts.joined(separator: option.kind == .sentence ? " " : ""), start..<words[index - 1].range.upperBound)
    }

    /// `512, 768`: a comma at a word's end announces more of the list.
    private func continuesList(_ kind: ValueKind, _ texts: [String]) -> Bool {
        if case .list = kind { return texts[texts.count - 1].hasSuffix(",") }
        return false
    }

    private mutating func store(_ text: (String, Range<Int>), of option: OptionSpecification, shown: String) throws(ArgumentFault) {
        if values[option.name] != nil, !option.isRepeatable {
            throw ArgumentFault(MagicError("\(shown) is given twice", hint: "Keep one of the two."), text.1)
        }
        do {
            values[option.name, default: []].append(try option.kind.value(of: text.0, named: shown, at: option.name))
        } catch {
            throw ArgumentFault(error, text.1)
        }
        if !given.contains(option.name) { given.append(option.name) }
        ranges[option.name] = text.1
    }

    private func unknownOption(_ name: String, _ word: ArgumentWord) -> ArgumentFault {
        let known = specification.options.flatMap { [$0.name] + $0.aliases }
        let hint =
            if let nearest = nearestName(to: name, among: known) {
                "Did you mean --\(nearest)?"
            } else if known.isEmpty {
                "%\(specification.name) takes no options."
            } else {
                "Its options: " + specification.options.map { "--\($0.name)" }.joined(separator: ", ") + "."
            }
        return ArgumentFault(MagicError("%\(specification.name) has no option --\(name)", hint: hint), word.range)
    }

    private mutating func placePositionals() throws(ArgumentFault) {
        var rest = placed[...]
        for positional in specification.positionals {
            if rest.isEmpty {
                if positional.isOptional { continue }
                throw ArgumentFault(
                    MagicError("%\(specification.name) needs \(positional.placeholder): \(positional.need)", hint: "Usage: \(specification.usage)"), nil)
            }
            let takesAll = positional.isRepeatable || positional.kind == .sentence
            let mine = takesAll ? rest : rest.prefix(1)
            rest = rest.dropFirst(mine.count)
            try place(Array(mine), as: positional)
        }
        if let extra = rest.first { throw unexpected(extra) }
    }

    private mutating func place(_ words: [ArgumentWord], as positional: PositionalSpecification) throws(ArgumentFault) {
        ranges[positional.name] = words[0].range.lowerBound..<words[words.count - 1].range.upperBound
        if positional.kind == .sentence {
            values[positional.name] = [.text(words.map(\.text).joined(separator: " "))]
            return
        }
        for word in words {
            do {
                values[positional.name, default: []].append(
                    try positional.kind.value(of: word.text, named: positional.placeholder, at: positional.name))
            } catch {
                throw ArgumentFault(error, word.range)
            }
        }
    }

    private func unexpected(_ word: ArgumentWord) -> ArgumentFault {
        let known = specification.options.flatMap { [$0.name] + $0.aliases }
        let hint =
            if let option = known.first(where: { normalizedName($0) == normalizedName(word.text) }) {
                "Did you mean --\(option)?"
            } else {
                "Usage: \(specification.usage)"
            }
        return ArgumentFault(MagicError("%\(specification.name) does not know what to do with \(quoted(word.text))", hint: hint), word.range)
    }
}

extension OptionSpecification {
    /// `--lr 1e-4`, made from the default or a value that fits.
    var example: String {
        if let defaultValue { return "--\(name) \(defaultValue)" }
        switch kind {
        case .flag: return "--\(name)"
        case .integer(let range): return "--\(name) \(range.contains(4) ? 4 : range.lowerBound)"
        case .number(let range): return "--\(name) \(range.contains(0.5) ? "0.5" : plainNumber(range.lower))"
        case .choice(let words): return "--\(name) \(words.first ?? "word")"
        case .text, .sentence: return "--\(name) words"
        case .path: return "--\(name) some/path"
        case .list: return "--\(name) 1,2"
        }
    }
}

extension PositionalSpecification {
    var placeholder: String { name.uppercased() }
    var need: String { summary.isEmpty ? kind.expectation : summary }
}
