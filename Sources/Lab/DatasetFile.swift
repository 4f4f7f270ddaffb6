import Datasets
import Kernel
import TOML
import Text

/// Kohya's dataset TOML, as `%%dataset` takes it: `[general]` for all, `[[datasets]]` with a resolution, in each `[[datasets.subsets]]`
/// with a folder of pictures. What stands further out holds where nothing else is said further in (sd-scripts' `config_util`).
struct DatasetFile {
    let request: DatasetRequest
    /// Settings of training that Kohya keeps in this file, such as the batch size.
    let training: Settings

    private static let subsetOptions: [OptionSpecification] = [
        .init("image_dir", .path(.folder), "Folder of pictures; its name is not read as a number of repeats."),
        .init("is_reg", .flag, "Regularisation pictures."),
    ]
    /// Names that Kohya's file and `%train` share.
    private static let trainingNames = ["train_batch_size", "shuffle_caption", "keep_tokens", "caption_dropout_rate"]
    private static let trainingOptions = KohyaNames.all.filter { trainingNames.contains($0.name) }
    /// Names whose value may differ from subset to subset.
    private static let ownNames: Set = ["image_dir", "is_reg", "num_repeats", "class_tokens", "caption_extension"]
    private static let table = DatasetMagic.options + subsetOptions + trainingOptions

    /// - Parameters:
    ///   - line: what the magic's own line says, which holds above the text.
    /// - Throws: `LabError` with the line for text that is no TOML, the nearest name for an unknown key, and for what one data set cannot hold.
    ///   - firstLine: the line of the cell on which the text begins.
    init(toml text: String, firstLine: Int, line: Settings) throws {
        let subsets = try Self.subsets(of: Settings.document(text, firstLine: firstLine)).map { try Settings($0, of: Self.table).merging(line) }
        guard let first = subsets.first else {
            throw LabError.invalid("the text names no [[datasets.subsets]]", wayOut: "Give each folder of pictures one, with image_dir and num_repeats.")
        }
        for option in Self.table where !Self.ownNames.contains(option.name) {
            guard subsets.allSatisfy({ $0.values[option.name] == first.values[option.name] }) else {
                throw LabError.invalid("\(option.name) differs between subsets, and one data set has one", wayOut: "Put it into [general], or train on the others in a run of their own.")
            }
        }
        request = try Self.request(first, subsets)
        training = first.restricted(to: Self.trainingNames)
    }

    /// The keys of each subset, with those of its dataset and of `[general]` where it says nothing itself.
    private static func subsets(of document: TOMLTable) throws -> [[String: TOMLValue]] {
        if let key = document.keys.first(where: { !["general", "datasets"].contains($0) }) {
            throw LabError.unknownKey(key, nearest: nearestName(to: key, among: ["general", "datasets"]))
        }
        let general = keys(of: document["general"]?.table)
        return (document["datasets"]?.array ?? []).flatMap { dataset -> [[String: TOMLValue]] in
            let outer = general.merging(keys(of: dataset.table)) { $1 }
            return (dataset.table?["subsets"]?.array ?? []).map { outer.merging(keys(of: $0.table)) { $1 } }
        }
    }

    private static func keys(of table: TOMLTable?) -> [String: TOMLValue] {
        guard let table else { return [:] }
        return Dictionary(table.keys.filter { $0 != "subsets" }.compactMap { key in table[key].map { (key, $0) } }) { first, _ in first }
    }

    private static func request(_ shared: Settings, _ subsets: [Settings]) throws -> DatasetRequest {
        let sources = try subsets.map { subset in
            guard let folder = subset.text("image_dir") else {
                throw LabError.invalid("a subset has no image_dir", wayOut: "image_dir = \"path/to/pictures\"")
            }
            return SubsetSource(
                folder: folder, repeats: subset.integer("num_repeats") ?? 1, classTokens: subset.text("class_tokens"),
                captionExtension: subset.text("caption_extension"), isRegularisation: subset.flag("is_reg") ?? false)
        }
        guard let first = sources.first(where: { !$0.isRegularisation }) else {
            throw LabError.invalid("all subsets are regularisation pictures", wayOut: "Give a subset without is_reg = true.")
        }
        var request = DatasetRequest(first.folder)
        request.sources = sources
        shared.applyPlaces(to: &request)
        return request
    }
}

extension Settings {
    /// Carries over what `%dataset` and Kohya's file say of all pictures alike.
    func applyPlaces(to request: inout DatasetRequest) {
        let sides = integers("resolution")
        if let first = sides.first { request.resolution = PixelSize(first, sides.count > 1 ? sides[1] : first) }
        request.buckets = BucketOptions(
            isEnabled: flag("enable_bucket") ?? true, minimumSide: integer("min_bucket_reso") ?? 256, maximumSide: integer("max_bucket_reso") ?? 2048,
            step: integer("bucket_reso_steps") ?? 64, neverUpscales: flag("bucket_no_upscale") ?? true)
        request.regularisation = text("reg_data_dir")
        request.heldOut = text("held_out")
        request.skipsUnusable = flag("skip_unusable") ?? false
    }
}
