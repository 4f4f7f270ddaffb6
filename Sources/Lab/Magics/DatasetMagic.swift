import Datasets
import Kernel

/// `%dataset`: reads the pictures to train on, checks them, and shows what training on them means.
struct DatasetMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "dataset", summary: "Reads a folder of pictures and captions to train on.",
        details: "Kohya's layout: `10_name/*.png` with a `.txt` of the same name beside each picture; the number says how often an epoch shows each picture. Give the folder itself or its parent. Every picture is read and checked; nothing is written.",
        positionals: [.init("path", .path(.folder), "the folder, or its parent", isOptional: true)],
        options: [
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
        ],
        examples: ["%dataset pictures/10_mystyle", "%dataset pictures --resolution 512,768 --held_out more-pictures"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("dataset", cell: cell.executionCount) {
                if let request = request(call) {
                    let hadModel = session.model != nil
                    try session.readDataset(request) { _, _ in try cell.checkInterrupted() }
                    if !hadModel { cell.say("No base model was loaded, so the embedded one was.") }
                } else if let option = call.given.first {
                    throw MagicError("UsageError", "--\(option) needs the folder, too", hint: "For example %dataset pictures/10_mystyle --\(option) …", at: option)
                }
                guard let dataset = session.dataset, let model = session.model else { throw LabError.noDataset }
                let batch = session.trainer?.configuration.batchSize ?? 1
                try show(DatasetView(dataset: dataset, heldOut: session.heldOut, batchSize: batch, guideApplies: model.guideApplies), in: cell)
            }
        }
    }

    private func request(_ call: MagicCall) -> DatasetRequest? {
        guard let path = call.string("path") else { return nil }
        var request = DatasetRequest(path)
        let sides = call.integers("resolution")
        if let first = sides.first { request.resolution = PixelSize(first, sides.count > 1 ? sides[1] : first) }
        request.buckets = BucketOptions(
            isEnabled: call.isSet("enable_bucket"), minimumSide: call.integer("min_bucket_reso") ?? 256, maximumSide: call.integer("max_bucket_reso") ?? 2048,
            step: call.integer("bucket_reso_steps") ?? 64, neverUpscales: call.isSet("bucket_no_upscale"))
        request.repeats = call.integer("num_repeats")
        request.captionExtension = call.string("caption_extension") ?? ".txt"
        request.classTokens = call.string("class_tokens")
        request.regularisation = call.string("reg_data_dir")
        request.heldOut = call.string("held_out")
        request.skipsUnusable = call.isSet("skip_unusable")
        return request
    }

    private func show(_ view: DatasetView, in cell: CellContext) throws {
        cell.display(try view.sheet())
        cell.display(DisplayData(view.buckets))
        for line in view.remarks { cell.say(line) }
    }
}
