import Datasets
import Kernel

/// `%dataset`: reads the pictures to train on, checks them, and shows what training on them means.
struct DatasetMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "dataset", summary: "Reads a folder of pictures and captions to train on.",
        details: "Kohya's layout: `10_name/*.png` with a `.txt` of the same name beside each picture; the number says how often an epoch shows each picture. Give the folder itself or its parent. Every picture is read and checked; nothing is written. `%%dataset` takes Kohya's dataset TOML below its first line.",
        positionals: [.init("path", .path(.folder), "the folder, or its parent", isOptional: true)],
        options: options, body: .toml,
        examples: [
            "%dataset pictures/10_mystyle", "%dataset pictures --resolution 512,768 --held_out more-pictures", "%dataset prepare photos pictures --name mystyle",
            "%%dataset\n[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = \"pictures\"\nnum_repeats = 10",
        ],
        subcommands: [preparation])

    static let options: [OptionSpecification] = [
        .init("resolution", aliases: ["max_resolution"], .list(.integer(16...8192)), "Pixels, one number or WIDTH,HEIGHT; the model's own when not given."),
        .init("num_repeats", aliases: ["repeats"], .integer(1...100_000), "How often an epoch shows each picture, instead of the folder's number."),
        .init("held_out", aliases: ["validation", "validation_data_dir"], .path(.folder), "Pictures with captions that are never trained on: the loss on them tells what was learned."),
        .init("reg_data_dir", aliases: ["reg"], .path(.folder), "Kohya's regularisation pictures; they double the steps."),
        .init("caption_extension", .text, default: ".txt", "Ending of caption files."),
        .init("class_tokens", .text, "Words for pictures without a caption, instead of those in the folder's name."),
        .init("enable_bucket", .flag, default: "true", "Sorts pictures of different proportions into sizes that share a batch; off cuts all to one size."),
        .init("bucket_no_upscale", .flag, default: "true", "Small pictures keep their size."),
        .init("bucket_reso_steps", .integer(8...1024), default: "64", "Sides of buckets are multiples of this, pixels."),
        .init("min_bucket_reso", .integer(8...8192), default: "256", "Shortest side of a bucket, pixels."),
        .init("max_bucket_reso", .integer(8...8192), default: "2048", "Longest side of a bucket, pixels."),
        .init("skip_unusable", .flag, "Leaves out pictures that cannot be read instead of refusing them all."),
    ]

    /// `%dataset prepare`.
    private static let preparation = MagicSpecification(
        name: "prepare", summary: "Resizes, crops and numbers pictures into a new folder in Kohya's layout.",
        details: "Writes DESTINATION/<repeats>_<name>/001.png … with the captions of the sources; sources are only read.",
        positionals: [.init("source", .path(.folder), "folder with the pictures as they are"), .init("destination", .path(.folder), "folder to make the numbered folder in")],
        options: [
            .init("resolution", aliases: ["max_resolution"], .list(.integer(16...8192)), "Pixels, one number or WIDTH,HEIGHT; the model's own when not given."),
            .init("crop", .flag, default: "true", "Cuts all to these proportions; off keeps each picture's own, sides in multiples of 64."),
            .init("upscale", .flag, default: "true", "Enlarges smaller pictures (Lanczos); off leaves them out."),
            .init("num_repeats", aliases: ["repeats"], .integer(1...100_000), default: "10", "The number in the folder's name: how often an epoch shows each picture."),
            .init("name", aliases: ["class_tokens"], .sentence, "Words after the number; the source folder's name when not given."),
            .init("caption_extension", .text, default: ".txt", "Ending of caption files."),
        ],
        examples: ["%dataset prepare photos pictures --resolution 512 --name mystyle"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("dataset", cell: cell.executionCount) {
                if call.subcommand == "prepare" {
                    try prepare(call, in: cell)
                    return
                }
                let line = try Settings(call, of: Self.options)
                if let body = call.body {
                    let file = try DatasetFile(toml: body, firstLine: max(call.bodyLine, 1), line: line)
                    try read(file.request, in: cell)
                    session.post(file.training)
                    if !file.training.isEmpty { cell.say("For the next %train: \(file.training.lines(KohyaNames.all).joined(separator: ", ")).") }
                } else if let path = call.string("path") {
                    try read(request(path, line), in: cell)
                } else if let option = call.given.first {
                    throw MagicError("UsageError", "--\(option) needs the folder, too", hint: "For example %dataset pictures/10_mystyle --\(option) …", at: option)
                }
                guard let dataset = session.dataset, let model = session.model else { throw LabError.noDataset }
                let batch = session.trainer?.configuration.batchSize ?? 1
                try show(DatasetView(dataset: dataset, heldOut: session.heldOut, batchSize: batch, guideApplies: model.guideApplies), in: cell)
            }
        }
    }

    private func read(_ request: DatasetRequest, in cell: CellContext) throws {
        let hadModel = session.model != nil
        try session.readDataset(request) { _, _ in try cell.checkInterrupted() }
        if !hadModel { cell.say("No base model was loaded, so the embedded one was.") }
    }

    private func request(_ path: String, _ line: Settings) -> DatasetRequest {
        var request = DatasetRequest(path)
        line.applyPlaces(to: &request)
        request.repeats = line.integer("num_repeats")
        request.captionExtension = line.text("caption_extension") ?? ".txt"
        request.classTokens = line.text("class_tokens")
        return request
    }

    private func resolution(_ call: MagicCall) -> PixelSize? {
        let sides = call.integers("resolution")
        return sides.first.map { PixelSize($0, sides.count > 1 ? sides[1] : $0) }
    }

    private func prepare(_ call: MagicCall, in cell: CellContext) throws {
        let source = call.string("source") ?? "", destination = call.string("destination") ?? ""
        let side = try session.requireModel().nativeSide
        let preparation = PicturePreparation(
            resolution: resolution(call) ?? PixelSize(side, side), crops: call.isSet("crop"), upscales: call.isSet("upscale"),
            repeats: call.integer("num_repeats") ?? 10, name: call.string("name") ?? PreparationView.name(of: source),
            captionExtension: call.string("caption_extension") ?? ".txt")
        let progress = LiveDisplay(cell, "prepared")
        let (folder, outcomes) = try preparation.run(from: source, to: destination) { done, total in
            progress.show(always: done == total) { DisplayData(plain: "prepared \(done) of \(total)") }
            try cell.checkInterrupted()
        }
        let view = PreparationView(folder: folder, outcomes: outcomes)
        cell.display(try view.sheet())
        for line in view.remarks(destination: destination) { cell.say(line) }
    }

    private func show(_ view: DatasetView, in cell: CellContext) throws {
        cell.display(try view.sheet())
        cell.display(DisplayData(view.buckets))
        for line in view.remarks { cell.say(line) }
    }
}
