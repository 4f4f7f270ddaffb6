import Kernel

/// A magic with every kind of argument, for tests of the grammar.
struct SampleMagic: Magic {
    var specification = MagicSpecification(
        name: "draw", summary: "Draws.", details: "In detail.",
        positionals: [PositionalSpecification("prompt", .sentence, "what to draw", isOptional: true)],
        options: [
            OptionSpecification("network_dim", aliases: ["rank"], .integer(1...1024), default: "16", "Rank."),
            OptionSpecification("lr", .number(.positive(upTo: 1)), default: "1e-4", "Learning rate."),
            OptionSpecification("fast", .flag, "Hurry."),
            OptionSpecification("resolution", .list(.integer(64...2048)), default: "512,512", "Size."),
            OptionSpecification("optimizer", .choice(["AdamW", "AdamW8bit", "SGD"]), default: "AdamW", "Rule."),
            OptionSpecification("n", .sentence, "Negative prompt."),
            OptionSpecification("tag", .text, "Word.", isRepeatable: true),
            OptionSpecification("out", .path(.folder), "Where."),
        ],
        body: .lines, examples: ["%draw a cube"],
        subcommands: [MagicSpecification(name: "resize", summary: "Resizes.", positionals: [PositionalSpecification("size", .integer(1...10), "how large")])])

    var action: @Sendable (MagicCall, CellContext) throws -> Void = { _, _ in }

    func run(_ call: MagicCall, in cell: CellContext) throws { try action(call, cell) }
    func suggestions(for argument: String, of subcommand: String?) -> [String] { argument == "tag" ? ["red", "green"] : [] }
}
