import Text

/// Magics that every kernel has: they need no training, and let front ends be tried out.
enum BuiltinMagics {
    static func all() -> [any Magic] {
        [Echo(), Display(), Result(), Fail(), Input(), Sleep(), Clear()]
    }

    /// Prints text.
    struct Echo: Magic {
        let specification = MagicSpecification(
            name: "echo", summary: "Prints its arguments.",
            positionals: [PositionalSpecification("text", .sentence, "what to print", isOptional: true)],
            options: [
                OptionSpecification("stderr", .flag, "Print to standard error instead of standard output."),
                OptionSpecification("n", .flag, "Print no newline at the end."),
                OptionSpecification("repeat", .integer(1...1_000_000), default: "1", "How many times."),
            ],
            body: .lines, examples: ["%echo hello, world", "%echo --stderr something to notice"], runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws {
            let text = [call.string("text"), call.body].compactMap { $0 }.joined(separator: "\n") + (call.isSet("n") ? "" : "\n")
            for _ in 0..<call.integer("repeat")! {
                try cell.checkInterrupted()
                if call.isSet("stderr") { cell.writeError(text) } else { cell.write(text) }
            }
        }
    }

    /// Shows text as display data.
    struct Display: Magic {
        let specification = MagicSpecification(
            name: "display", summary: "Shows text as a display, which can be replaced later.",
            positionals: [PositionalSpecification("text", .sentence, "what to show")],
            options: [
                OptionSpecification("id", .text, "A name under which --update can replace it."),
                OptionSpecification("update", .flag, "Replace what is shown under --id."),
                OptionSpecification("markdown", .flag, "The text is Markdown."),
            ],
            body: .lines, examples: ["%display first --id status", "%display second --id status --update"], runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws {
            let text = [call.string("text"), call.body].compactMap { $0 }.joined(separator: "\n")
            let data = DisplayData(plain: text, markdown: call.isSet("markdown") ? text : nil)
            if call.isSet("update") {
                guard let id = call.string("id") else { throw MagicError("--update needs --id: which display to replace", at: "update") }
                cell.update(data, id: id)
            } else {
                cell.display(data, id: call.string("id"))
            }
        }
    }

    /// Sets the value of the cell.
    struct Result: Magic {
        let specification = MagicSpecification(
            name: "result", summary: "Makes its text the value of the cell (Out[n]).",
            positionals: [PositionalSpecification("text", .sentence, "the value")], examples: ["%result 42"], runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws { cell.result(DisplayData(plain: call.string("text")!)) }
    }

    /// Fails on purpose.
    struct Fail: Magic {
        let specification = MagicSpecification(
            name: "fail", summary: "Fails on purpose, to see how a front end shows an error.",
            positionals: [PositionalSpecification("message", .sentence, "what to say", isOptional: true)], examples: ["%fail no more paper"],
            runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws {
            throw MagicError("Failure", call.string("message") ?? "failed on purpose", hint: "%fail always fails; remove it from the cell.")
        }
    }

    /// Asks the user.
    struct Input: Magic {
        let specification = MagicSpecification(
            name: "input", summary: "Asks for a line and prints it.",
            positionals: [PositionalSpecification("prompt", .sentence, "the question", isOptional: true)],
            options: [OptionSpecification("password", .flag, "Do not show what is typed; prints its length only.")], examples: ["%input Your name:"],
            runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws {
            let isSecret = call.isSet("password")
            let answer = try cell.input(prompt: call.string("prompt") ?? "", password: isSecret)
            cell.write(isSecret ? "\(answer.count) characters\n" : answer + "\n")
        }
    }

    /// Waits.
    struct Sleep: Magic {
        let specification = MagicSpecification(
            name: "sleep", summary: "Waits; the interrupt button ends it.",
            positionals: [PositionalSpecification("seconds", .number(.nonNegative(upTo: 86_400)), "how long")],
            options: [OptionSpecification("ticks", .integer(1...1000), "Print a line this many times while waiting.")],
            examples: ["%sleep 2.5"], runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws {
            let seconds = call.number("seconds")!
            let ticks = call.integer("ticks") ?? 0
            for tick in 0..<max(1, ticks) {
                try cell.sleep(seconds: seconds / Double(max(1, ticks)))
                if ticks > 0 { cell.write("\(tick + 1) of \(ticks)\n") }
            }
        }
    }

    /// Clears the output.
    struct Clear: Magic {
        let specification = MagicSpecification(
            name: "clear", summary: "Clears the output of the cell.",
            options: [OptionSpecification("wait", .flag, "Clear when the next output comes, which does not flicker.")], runsAlongside: true)

        func run(_ call: MagicCall, in cell: CellContext) throws { cell.clearOutput(wait: call.isSet("wait")) }
    }

    static let helpSpecifications = [
        MagicSpecification(name: "lsmagic", summary: "Lists all magics.", examples: ["%lsmagic"], runsAlongside: true),
        MagicSpecification(
            name: "help", summary: "Shows the help of a magic, or the list of all.",
            positionals: [PositionalSpecification("name", .text, "a magic's name", isOptional: true)], examples: ["%help", "%help echo"], runsAlongside: true),
    ]

    /// `%lsmagic` and `%help` over all the magics there are.
    static func help(on specifications: [MagicSpecification]) -> [any Magic] {
        [ListMagics(specification: helpSpecifications[0], all: specifications), Help(specification: helpSpecifications[1], all: specifications)]
    }

    struct ListMagics: Magic {
        let specification: MagicSpecification
        let all: [MagicSpecification]

        func run(_ call: MagicCall, in cell: CellContext) throws { cell.write(all.overview) }
    }

    struct Help: Magic {
        let specification: MagicSpecification
        let all: [MagicSpecification]

        func run(_ call: MagicCall, in cell: CellContext) throws {
            guard let name = call.string("name") else {
                cell.write(all.overview)
                return
            }
            let bare = String(name.drop { $0 == "%" })
            guard let found = all.first(where: { normalizedName($0.name) == normalizedName(bare) }) else {
                let nearest = nearestName(to: bare, among: all.map(\.name)).map { "Did you mean %\($0)? " } ?? ""
                throw MagicError("there is no magic %\(bare)", hint: nearest + "%lsmagic lists all magics.", at: "name")
            }
            cell.display(DisplayData(plain: found.helpText, markdown: found.helpMarkdown))
        }

        func suggestions(for argument: String, of subcommand: String?) -> [String] { all.map(\.name) }
    }
}
