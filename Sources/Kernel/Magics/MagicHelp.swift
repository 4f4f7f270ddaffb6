extension MagicSpecification {
    /// One line: `%train [--epochs N] [--lr X]`, shortened when there are many options.
    public var usage: String { usage(of: "%\(name)") }

    func usage(of command: String) -> String {
        var parts = [command]
        if !subcommands.isEmpty {
            let words = subcommands.map(\.name).joined(separator: "|")
            parts.append(positionals.isEmpty ? words : "[\(words)]")
        }
        for positional in positionals {
            let word = positional.placeholder + (positional.isRepeatable ? "…" : "")
            parts.append(positional.isOptional ? "[\(word)]" : word)
        }
        let spelled = options.map { "[\($0.spelling)]" }
        parts += spelled.joined(separator: " ").count <= 120 ? spelled : ["[--option value]…"]
        return parts.joined(separator: " ")
    }

    /// The whole help as plain text.
    public var helpText: String { helpSections(command: "%\(name)").joined(separator: "\n\n") + "\n" }

    private func helpSections(command: String) -> [String] {
        var sections = [usage(of: command), summary]
        if !details.isEmpty { sections.append(details) }
        if !positionals.isEmpty { sections.append("Arguments:\n" + Self.aligned(positionals.map { ($0.placeholder, $0.description) })) }
        if !options.isEmpty { sections.append("Options:\n" + Self.aligned(options.map { ($0.heading, $0.description) })) }
        switch body {
        case .none: break
        case .toml: sections.append("%%\(name) takes the rest of the cell as TOML.")
        case .lines: sections.append("%%\(name) takes the rest of the cell line by line.")
        }
        if !examples.isEmpty { sections.append("Examples:\n" + examples.map { "  \($0)" }.joined(separator: "\n")) }
        for subcommand in subcommands { sections += subcommand.helpSections(command: "\(command) \(subcommand.name)") }
        return sections
    }

    private static func aligned(_ rows: [(String, String)]) -> String {
        let width = min(32, rows.map(\.0.count).max() ?? 0)
        return rows.map { "  " + $0.0 + String(repeating: " ", count: max(0, width - $0.0.count)) + "  " + $0.1 }.joined(separator: "\n")
    }

    /// The whole help as Markdown.
    public var helpMarkdown: String { markdownSections(command: "%\(name)").joined(separator: "\n\n") + "\n" }

    private func markdownSections(command: String) -> [String] {
        var sections = ["`\(usage(of: command))`", summary]
        if !details.isEmpty { sections.append(details) }
        if !positionals.isEmpty { sections.append(Self.list(positionals.map { ($0.placeholder, $0.description) })) }
        if !options.isEmpty { sections.append(Self.list(options.map { ($0.heading, $0.description) })) }
        if !examples.isEmpty { sections.append("```\n" + examples.joined(separator: "\n") + "\n```") }
        for subcommand in subcommands { sections += subcommand.markdownSections(command: "\(command) \(subcommand.name)") }
        return sections
    }

    private static func list(_ rows: [(String, String)]) -> String { rows.map { "- `\($0.0)` \($0.1)" }.joined(separator: "\n") }
}

extension PositionalSpecification {
    var description: String {
        [summary, "(\(kind.expectation)\(isOptional ? ", may be left out" : ""))"].filter { !$0.isEmpty }.joined(separator: " ")
    }
}

extension OptionSpecification {
    /// `--lr X`.
    var spelling: String { kind == .flag ? "--\(name)" : "--\(name) \(kind.placeholder)" }

    /// `--network_dim, --rank N`.
    var heading: String {
        let names = ([name] + aliases).map { "--\($0)" }.joined(separator: ", ")
        return kind == .flag ? names : "\(names) \(kind.placeholder)"
    }

    var description: String {
        var facts = kind == .flag ? [] : [kind.expectation]
        if let defaultValue { facts.append("default \(defaultValue)") }
        if isRepeatable { facts.append("may be repeated") }
        return facts.isEmpty ? summary : "\(summary) (\(facts.joined(separator: "; ")))"
    }

    /// Help for the option alone.
    var helpText: String { "\(heading)\n\(description)\n" }
}

extension [MagicSpecification] {
    /// All magics with their summaries.
    var overview: String {
        let width = map(\.name.count).max() ?? 0
        let rows = map { "%\($0.name)" + String(repeating: " ", count: width - $0.name.count) + "  \($0.summary)" }
        return rows.joined(separator: "\n") + "\n\n%name? or %help name shows one in full; Tab completes names, options, values and paths.\n"
    }
}
