import Datasets
import Imaging
import Kernel
import Plotting

/// What `%dataset prepare` made of each picture.
struct PreparationView {
    let folder: String
    let outcomes: [PicturePreparation.Outcome]

    /// Pairs drawn at most; text names every one.
    private static let sheetLimit = 12
    /// Side of a thumbnail, pixels: twice its size in points.
    private static let thumbnailSide = 300

    /// A folder's own name without the number of repeats before it.
    static func name(of folder: String) -> String {
        let last = folder.split(separator: "/").last.map(String.init) ?? ""
        guard let underscore = last.firstIndex(of: "_"), Int(last[..<underscore]) != nil else { return last.isEmpty || last.hasPrefix(".") ? "pictures" : last }
        return String(last[last.index(after: underscore)...])
    }

    private var prepared: [(outcome: PicturePreparation.Outcome, target: String)] { outcomes.compactMap { outcome in outcome.target.map { (outcome, $0) } } }

    func sheet() throws -> DisplayData {
        let items = try prepared.prefix(Self.sheetLimit).map { outcome, target in
            BeforeAfterSheet.Item(
                before: try thumbnail(outcome.source), after: try thumbnail(target), name: Self.fileName(outcome.source), note: Self.note(outcome))
        }
        let rest = prepared.count - items.count
        let subtitle = "\(Words.count(prepared.count, "picture")) in \(folder)" + (rest > 0 ? " · the first \(items.count) are shown" : "")
        let rows = outcomes.map { [Self.fileName($0.source), $0.target.map(Self.fileName) ?? "left out", Self.note($0), $0.hasCaption ? "yes" : "no"] }
        let table = TextTable(header: ["source", "prepared", "size", "caption"], rows: rows)
        return try DisplayData(card: BeforeAfterSheet(items, title: "Prepared", subtitle: subtitle).draw(), plain: subtitle + "\n" + table.plain)
    }

    func remarks(destination: String) -> [String] {
        var lines = outcomes.filter { $0.target == nil }.map { "• \($0.source) has \($0.size) pixels and was left out; --upscale would enlarge it." }
        let enlarged = prepared.filter { $0.outcome.placement.resized.width > $0.outcome.size.width }.count
        if enlarged > 0 { lines.append("• \(Words.count(enlarged, "picture")) had to be enlarged: larger originals would train better.") }
        return lines + ["Sources are as they were. Read the prepared pictures with: %dataset \(destination)"]
    }

    private func thumbnail(_ path: String) throws -> Pixels {
        try Picture.load(path: path).letterboxed(width: Self.thumbnailSide, height: Self.thumbnailSide)
    }

    /// "1920×1080 → 512×512, cropped".
    private static func note(_ outcome: PicturePreparation.Outcome) -> String {
        let placement = outcome.placement
        if outcome.target == nil { return "\(outcome.size), too small" }
        return "\(outcome.size) → \(placement.bucket)" + (placement.resized == placement.bucket ? "" : ", cropped")
    }

    private static func fileName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}
