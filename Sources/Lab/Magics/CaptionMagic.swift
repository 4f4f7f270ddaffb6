import Datasets
import Foundation
import Imaging
import Kernel
import Models
import Plotting
import Text

/// `%caption`: has the captioner write a sentence beside each picture; `show`, `edit`, `replace` and `tags` work on them by hand.
struct CaptionMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "caption", summary: "Writes captions for the dataset with the captioner, and edits them.",
        details: """
            A `.txt` is written beside each picture that has none. Existing captions are left alone unless `--overwrite` is given. \
            The captioner is the embedded one, or a folder of your own: BLIP in transformers' layout writes sentences, a WD14 tagger in timm's layout (ViT, ConvNeXt, SwinV2) writes tags.
            """,
        options: [
            .init("captioner", .path(.folder), "A folder with BLIP (config.json, weights, vocab.txt) or a tagger (config.json, model.safetensors, selected_tags.csv)."),
            .init("prompt", .sentence, "Words that BLIP's caption continues, such as \"a picture of\"; they are no part of it."),
            .init("prefix", .sentence, "Words before each caption: what will call the style later."),
            .init("postfix", .sentence, "Words after each caption."),
            .init("num_beams", aliases: ["beams"], .integer(1...16), default: "1", "Sequences that are weighed against each other; 1 takes the likeliest word each time."),
            .init("top_p", .number(.init(0, 1, lowerIsExclusive: true)), "Draws words from the likeliest that together have this probability, instead of searching."),
            .init("max_length", .integer(2...512), default: "75", "Tokens at most."),
            .init("min_length", .integer(0...512), default: "5", "Tokens at least."),
            .init("repetition_penalty", .number(.closed(0.1...10)), default: "1", "Above 1, words that have occurred become less likely."),
            .init("seed", .integer(0...Int(UInt32.max)), default: "42", "Of --top_p's draws."),
            .init("overwrite", .flag, "Replaces captions that are there already."),
        ] + taggerOptions,
        examples: ["%caption --prefix \"mystyle,\"", "%caption show", "%caption edit 03.png a red cube on white", "%caption replace cube box", "%caption tags"],
        subcommands: [
            .init(name: "show", summary: "Shows pictures with their captions.", positionals: [.init("pictures", .text, "names of pictures; all when none are given", isOptional: true, isRepeatable: true)]),
            .init(name: "edit", summary: "Writes one picture's caption.", positionals: [.init("picture", .text, "the picture's file name"), .init("text", .sentence, "the caption")]),
            .init(name: "replace", summary: "Replaces words in all captions.", positionals: [.init("old", .text, "what stands there"), .init("new", .text, "what shall stand there; nothing removes it", isOptional: true)]),
            .init(name: "tags", summary: "Counts the comma-separated parts of all captions.", options: [.init("top", .integer(1...1000), default: "30", "How many are shown.")]),
        ])

    /// Of taggers, by the names of sd-scripts' tag_images_by_wd14_tagger.
    private static let taggerOptions: [OptionSpecification] = [
        .init("thresh", .number(.closed(0...1)), default: "0.35", "Tagger: probability from which a tag is written."),
        .init("general_threshold", .number(.closed(0...1)), "Tagger: the same for general tags alone."),
        .init("character_threshold", .number(.closed(0...1)), "Tagger: the same for characters alone."),
        .init("remove_underscore", .flag, "Tagger: blanks for underscores (--no-remove_underscore keeps them)."),
        .init("undesired_tags", .list(.text), "Tagger: tags that are never written."),
        .init("always_first_tags", .list(.text), "Tagger: tags that stand first where they occur."),
        .init("character_tags_first", .flag, "Tagger: characters before general tags."),
        .init("character_tag_expand", .flag, "Tagger: name_(series) becomes two tags."),
        .init("use_rating_tags", .flag, "Tagger: writes the rating first."),
        .init("use_rating_tags_as_last_tag", .flag, "Tagger: writes the rating last."),
    ]

    func suggestions(for argument: String, of subcommand: String?) -> [String] {
        ["picture", "pictures"].contains(argument) ? session.status.pictureNames : []
    }

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("caption", cell: cell.executionCount) {
                guard session.dataset != nil else { throw LabError.noDataset }
                switch call.subcommand {
                case "show": try show(call.strings("pictures"), in: cell)
                case "edit": try edit(call, in: cell)
                case "replace": try replace(call, in: cell)
                case "tags": try tags(call.integer("top") ?? 30, in: cell)
                default: try write(call, in: cell)
                }
            }
        }
    }

    // MARK: By the captioner

    private func write(_ call: MagicCall, in cell: CellContext) throws {
        let progress = LiveDisplay(cell, "captions")
        let (written, skipped) = try session.caption(
            captioner: call.string("captioner"), options: options(call), prefix: call.string("prefix"), postfix: call.string("postfix"),
            overwrite: call.isSet("overwrite"), shouldStop: { cell.isInterrupted }
        ) { done, total in
            progress.show(always: done == 0 || done == total) { DisplayData(plain: "captioned \(done) of \(total)") }
            try cell.checkInterrupted()
        }
        if written.isEmpty {
            cell.say("Nothing written: all \(Words.count(skipped, "picture")) have captions already. --overwrite replaces them.")
            return
        }
        try show(written, in: cell)
        cell.say("Wrote \(Words.count(written.count, "caption"))" + (skipped > 0 ? "; \(skipped) that were there were left alone (--overwrite replaces them)." : "."))
    }

    private func options(_ call: MagicCall) -> CaptionModel.Options {
        var options = CaptionModel.Options()
        options.prompt = call.string("prompt") ?? ""
        options.generation = generation(call)
        options.selection = selection(call)
        return options
    }

    private func selection(_ call: MagicCall) -> TagSelection {
        var selection = TagSelection()
        let threshold = call.number("thresh") ?? 0.35
        selection.generalThreshold = Float(call.number("general_threshold") ?? threshold)
        selection.characterThreshold = Float(call.number("character_threshold") ?? threshold)
        selection.replacesUnderscores = !call.isGiven("remove_underscore") || call.isSet("remove_underscore")
        selection.undesired = Set(call.strings("undesired_tags"))
        selection.alwaysFirst = call.strings("always_first_tags")
        selection.charactersFirst = call.isSet("character_tags_first")
        selection.expandsCharacters = call.isSet("character_tag_expand")
        selection.rating = call.isSet("use_rating_tags") ? .first : call.isSet("use_rating_tags_as_last_tag") ? .last : .none
        return selection
    }

    private func generation(_ call: MagicCall) -> BLIP.GenerationOptions {
        var options = BLIP.GenerationOptions()
        let beams = call.integer("num_beams") ?? 1
        options.search = call.number("top_p").map { .nucleus(topP: Float($0), topK: 50, seed: UInt64(call.integer("seed") ?? 42)) } ?? (beams > 1 ? .beams(beams) : .greedy)
        options.maximumLength = call.integer("max_length") ?? 75
        options.minimumLength = call.integer("min_length") ?? 5
        options.repetitionPenalty = Float(call.number("repetition_penalty") ?? 1)
        return options
    }

    // MARK: By hand

    /// Pictures drawn at most; text names every one.
    private static let sheetLimit = 60

    private func show(_ names: [String], in cell: CellContext) throws {
        guard let dataset = session.dataset else { throw LabError.noDataset }
        let items = names.isEmpty ? dataset.pictures : try names.map(item)
        let sheet = ContactSheet(try items.prefix(Self.sheetLimit).map(dataset.sheetItem), captionLines: 5)
        let table = TextTable(header: ["picture", "caption"], rows: items.map { [$0.fileName, $0.isCaptioned ? $0.caption : "(none)"] })
        cell.display(try DisplayData(card: sheet.draw(), plain: table.plain))
    }

    private func edit(_ call: MagicCall, in cell: CellContext) throws {
        guard let dataset = session.dataset else { throw LabError.noDataset }
        let picture = try item(call.string("picture") ?? "")
        try apply(dataset.changes([.set(call.string("text") ?? "")]) { $0.path == picture.path }, in: cell)
    }

    private func replace(_ call: MagicCall, in cell: CellContext) throws {
        guard let dataset = session.dataset else { throw LabError.noDataset }
        let old = call.string("old") ?? ""
        guard !old.isEmpty else { throw LabError.invalid("there is nothing to look for", wayOut: "%caption replace OLD NEW") }
        try apply(dataset.changes([.replace(old, with: call.string("new") ?? "")], where: \.isCaptioned), in: cell)
    }

    private func apply(_ changes: [CaptionChange], in cell: CellContext) throws {
        guard !changes.isEmpty else {
            cell.say("No caption changes.")
            return
        }
        try session.write(changes)
        let rows = changes.map { [($0.picture as NSString).lastPathComponent, $0.before ?? "(none)", $0.after] }
        cell.display(DisplayData(TextTable(header: ["picture", "before", "after"], rows: rows)))
    }

    private func tags(_ count: Int, in cell: CellContext) throws {
        guard let dataset = session.dataset else { throw LabError.noDataset }
        let tags = dataset.tagCounts().prefix(count)
        guard !tags.isEmpty else {
            cell.say("There are no captions yet.")
            return
        }
        let chart = BarChart(tags.map { .init($0.tag, Double($0.count)) }, title: "Parts of the captions", subtitle: "in how many of \(Words.count(dataset.pictures.count, "picture"))")
        let table = TextTable(header: ["part", "pictures"], rows: tags.map { [$0.tag, String($0.count)] }, numeric: [1])
        cell.display(try DisplayData(card: chart.draw(), plain: table.plain))
    }

    private func item(_ name: String) throws -> DatasetItem {
        let pictures = session.dataset?.pictures ?? []
        if let found = pictures.first(where: { [$0.fileName, $0.path, ($0.fileName as NSString).deletingPathExtension].contains(name) }) { return found }
        throw LabError.unknownPicture(name, nearest: nearestName(to: name, among: pictures.map(\.fileName)))
    }
}
