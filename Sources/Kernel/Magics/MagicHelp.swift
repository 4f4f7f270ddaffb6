extension MagicSpecification {
    /// One line: `%train [--epochs N] [--lr X]`, shortened to the positionals when there are many options.
    public var usage: String {
        var parts = ["%\(name)"]
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
}

extension OptionSpecification {
    /// `--lr X`.
    var spelling: String { kind == .flag ? "--\(name)" : "--\(name) \(kind.placeholder)" }
}
