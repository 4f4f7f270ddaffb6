import JupyterWire
import Text

/// What could stand at the cursor: names of magics, options, their values, paths. Reads the specifications only, so it answers while a cell runs.
package struct Completion: Equatable {
    package struct Match: Equatable {
        package var text: String
        /// What Lab shows as an icon: magic, param, keyword, path, function.
        package var type: String
    }

    package var matches: [Match] = []
    /// Code points that a match replaces.
    package var range: Range<Int>

    /// - Parameter cursor: code points from the start, inside the code.
    package init(of code: String, at cursor: Int, _ table: MagicTable) {
        let context = CursorContext(code, cursor: cursor)
        range = context.word.lowerBound..<context.wordEnd
        switch context.place {
        case .nothing: break
        case .bareWord: matches = Self.names(startingWith: "%" + context.typed, marker: "%", table)
        case .name(let isCellMagic): matches = Self.names(startingWith: context.typed, marker: isCellMagic ? "%%" : String(context.typed.prefix(1)), table)
        case .argument(let name):
            if let magic = table[name] { (matches, range) = ArgumentCompletion(magic, context).matches }
        }
        if matches.isEmpty { range = cursor..<cursor }
    }

    private static func names(startingWith prefix: String, marker: String, _ table: MagicTable) -> [Match] {
        let hasBody = marker == "%%"
        return table.specifications.filter { !hasBody || $0.body != .none }.map { marker + $0.name }
            .filter { normalizedName($0).hasPrefix(normalizedName(prefix)) }.map { Match(text: $0, type: "magic") }
    }

    /// Content of `complete_reply`.
    static func answer(_ request: CursorRequest, _ table: MagicTable) -> JSON {
        let completion = Completion(of: request.code, at: request.cursor, table)
        let types = completion.matches.map { match -> JSON in
            [
                "start": .integer(completion.range.lowerBound), "end": .integer(completion.range.upperBound), "text": .string(match.text),
                "type": .string(match.type),
            ]
        }
        return [
            "status": "ok", "matches": .array(completion.matches.map { .string($0.text) }), "cursor_start": .integer(completion.range.lowerBound),
            "cursor_end": .integer(completion.range.upperBound), "metadata": ["_jupyter_types_experimental": .array(types)],
        ]
    }
}

/// Completes one argument of a magic.
private struct ArgumentCompletion {
    private let magic: any Magic
    private let specification: MagicSpecification
    private let subcommand: String?
    private let context: CursorContext
    private let before: [String]

    init(_ magic: any Magic, _ context: CursorContext) {
        self.magic = magic
        self.context = context
        let subcommand = context.before.first.flatMap { word in magic.specification.subcommands.first { $0.name == word } }
        self.subcommand = subcommand?.name
        specification = subcommand ?? magic.specification
        before = subcommand == nil ? context.before : Array(context.before.dropFirst())
    }

    var matches: ([Completion.Match], Range<Int>) {
        let whole = context.word.lowerBound..<context.wordEnd
        let typed = context.typed
        if typed.hasPrefix("-"), let equals = typed.firstIndex(of: "="), let option = option(String(typed[..<equals])) {
            let start = context.word.lowerBound + typed[...equals].unicodeScalars.count
            return (values(option.kind, option.name, String(typed[typed.index(after: equals)...])), start..<context.wordEnd)
        }
        if typed.hasPrefix("-") { return (options(typed), whole) }
        if let last = before.last, let option = option(last), option.kind != .flag { return valuesInList(option, typed, whole) }
        return (positionals(typed) + (typed.isEmpty ? options("--") : []), whole)
    }

    private func option(_ word: String) -> OptionSpecification? {
        guard word.hasPrefix("-") else { return nil }
        let name = normalizedName(String(word.drop { $0 == "-" }))
        return specification.options.first { ([$0.name] + $0.aliases).contains { normalizedName($0) == name } }
    }

    /// Options that start with what is typed; an alias is offered when only it fits. Used ones are left out.
    private func options(_ typed: String) -> [Completion.Match] {
        let prefix = normalizedName(String(typed.drop { $0 == "-" }))
        let used = Set(before.compactMap { option($0)?.name })
        return specification.options.filter { $0.isRepeatable || !used.contains($0.name) }.flatMap { option -> [String] in
            let fitting = ([option.name] + option.aliases).filter { normalizedName($0).hasPrefix(prefix) }
            return fitting.contains(option.name) ? [option.name] : fitting
        }.map { Completion.Match(text: "--\($0)", type: "param") }
    }

    private func valuesInList(_ option: OptionSpecification, _ typed: String, _ whole: Range<Int>) -> ([Completion.Match], Range<Int>) {
        guard case .list(let element) = option.kind, let comma = typed.lastIndex(of: ",") else {
            return (values(option.kind, option.name, typed), whole)
        }
        let start = whole.lowerBound + typed[...comma].unicodeScalars.count
        return (values(element, option.name, String(typed[typed.index(after: comma)...])), start..<whole.upperBound)
    }

    private func values(_ kind: ValueKind, _ name: String, _ typed: String) -> [Completion.Match] {
        let known: [Completion.Match] =
            switch kind {
            case .choice(let words): words.map { Completion.Match(text: $0, type: "keyword") }
            case .flag: ["true", "false"].map { Completion.Match(text: $0, type: "keyword") }
            case .path(let pathKind): PathCompletion.matches(typed, pathKind).map { Completion.Match(text: $0, type: "path") }
            case .list(let element): values(element, name, typed)
            case .integer, .number, .text, .sentence: []
            }
        if case .list = kind { return known }
        let suggested = magic.suggestions(for: name, of: subcommand).map { Completion.Match(text: $0, type: "instance") }
        return (known + suggested).filter { normalizedName($0.text).hasPrefix(normalizedName(typed)) }
    }

    /// Subcommands where the first word is typed, then the positional whose turn it is.
    private func positionals(_ typed: String) -> [Completion.Match] {
        var found: [Completion.Match] = []
        if before.isEmpty, subcommand == nil {
            found = specification.subcommands.filter { $0.name.hasPrefix(typed) }.map { Completion.Match(text: $0.name, type: "function") }
        }
        let index = positionalIndex
        let positional = index < specification.positionals.count ? specification.positionals[index] : specification.positionals.last { $0.isRepeatable }
        return found + (positional.map { values($0.kind, $0.name, typed) } ?? [])
    }

    /// How many positionals stand before the current word.
    private var positionalIndex: Int {
        var count = 0
        var isValue = false
        for word in before {
            if isValue {
                isValue = false
            } else if let option = option(word) {
                isValue = option.kind != .flag
            } else if !word.hasPrefix("--") {
                count += 1
            }
        }
        return count
    }
}
