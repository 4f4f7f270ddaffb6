import JupyterWire
import Text

/// Documentation for what stands under, or just left of, the cursor: an option, else the magic whose line it is.
package enum Inspection {
    /// - Returns: plain text and Markdown, or `nil` when nothing is known there.
    package static func documentation(of code: String, at cursor: Int, _ table: MagicTable) -> DisplayData? {
        let context = CursorContext(code, cursor: cursor)
        switch context.place {
        case .nothing: return nil
        case .name, .bareWord:
            let word = context.source.text(context.word.lowerBound..<context.wordEnd)
            let name = word.drop { $0 == "%" || $0 == "?" }.prefix { $0 != "?" && $0 != "(" }
            return table[String(name)].map { help(on: $0.specification) }
        case .argument(let name):
            return table[name].map { argumentHelp(context, $0.specification) }
        }
    }

    private static func argumentHelp(_ context: CursorContext, _ magic: MagicSpecification) -> DisplayData {
        let subcommand = context.before.first.flatMap { word in magic.subcommands.first { $0.name == word } }
        let specification = subcommand ?? magic
        let word = context.source.text(context.word.lowerBound..<context.wordEnd)
        let candidates = [word] + context.before.suffix(1)
        for candidate in candidates where candidate.hasPrefix("-") {
            let name = normalizedName(String(candidate.drop { $0 == "-" }.prefix { $0 != "=" }))
            let option = specification.options.first { ([$0.name] + $0.aliases).contains { normalizedName($0) == name } }
            if let option { return DisplayData(plain: option.helpText, markdown: "`\(option.heading)`\n\n\(option.description)\n") }
        }
        return help(on: magic)
    }

    private static func help(on specification: MagicSpecification) -> DisplayData {
        DisplayData(plain: specification.helpText, markdown: specification.helpMarkdown)
    }

    /// Content of `inspect_reply`.
    static func answer(_ request: CursorRequest, _ table: MagicTable) -> JSON {
        let found = documentation(of: request.code, at: request.cursor, table)
        return ["status": "ok", "found": .bool(found != nil), "data": found?.bundle ?? [:], "metadata": [:]]
    }
}
