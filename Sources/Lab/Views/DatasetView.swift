import Datasets
import Imaging
import Kernel
import Plotting

/// A data set at a glance: contact sheet, buckets, counts, and what the guide would say.
struct DatasetView {
    let dataset: Dataset
    let heldOut: Dataset?
    /// Pictures in a step.
    let batchSize: Int
    /// Whether the guide's numbers, made for models of Stable Diffusion's size, mean anything here.
    let guideApplies: Bool

    /// Pictures drawn at most; text names every one.
    private static let sheetLimit = 24
    /// What the guide and the reader have found.
    var findings: [Finding] {
        dataset.findings.filter { finding in
            switch finding {
            case .fewImageSteps, .sidesOutside: guideApplies
            case .ignoredFolder(let path): !isHeldOut(path)
            default: true
            }
        }
    }

    private func isHeldOut(_ path: String) -> Bool {
        func plain(_ path: String) -> String { path.split(separator: "/").filter { $0 != "." }.joined(separator: "/") }
        return heldOut.map { plain($0.location) == plain(path) } ?? false
    }

    func sheet() throws -> DisplayData {
        let pictures = dataset.pictures
        let items = try pictures.prefix(Self.sheetLimit).map(dataset.sheetItem)
        let rest = pictures.count - items.count
        let sheet = ContactSheet(items, title: title, subtitle: summary + (rest > 0 ? " · the first \(items.count) are shown" : ""))
        return try DisplayData(card: sheet.draw(), plain: [title, summary, listing.plain].joined(separator: "\n"))
    }

    var title: String { dataset.subsets.filter { !$0.isRegularisation }.map(\.name).joined(separator: ", ") }

    var summary: String {
        let pictures = dataset.pictures.count, regularisation = dataset.items.count - pictures
        var parts = [Words.count(pictures, "picture"), "\(Words.grouped(dataset.imageSteps)) with repeats"]
        if let heldOut { parts.append("\(heldOut.items.count) held out") }
        if regularisation > 0 { parts.append("\(Words.count(regularisation, "regularisation picture"))") }
        let steps = dataset.batchesPerEpoch(size: batchSize)
        parts.append("\(Words.count(steps, "step")) an epoch at batch size \(batchSize)")
        return parts.joined(separator: " · ")
    }

    /// Every picture with its size and caption.
    var listing: TextTable {
        TextTable(header: ["picture", "size", "caption"], rows: dataset.pictures.map { [$0.fileName, $0.size.description, $0.caption] })
    }

    /// One row for each bucket in use.
    var buckets: TextTable {
        TextTable(
            header: ["bucket", "pictures", "with repeats"],
            rows: dataset.bucketCounts.map { ["\($0.size)", String($0.pictures), String($0.visits)] }, numeric: [1, 2])
    }

    /// How the path was understood, then the findings, a line each.
    var remarks: [String] {
        var lines: [String] = []
        switch dataset.reading {
        case .parent, .listed: break
        case .leaf: lines.append("\(dataset.location) was read as one of Kohya's numbered folders (its parent would do as well).")
        case .plain: lines.append("\(dataset.location) was read as a plain folder: each picture counts once. Name it like 10_mystyle, or give --repeats, to count it more often.")
        }
        return lines + findings.map { finding in finding.wayOut.isEmpty ? "• \(finding)" : "• \(finding) – \(finding.wayOut)" }
    }
}

extension Dataset {
    /// Side of a thumbnail, pixels: twice its size in points.
    private static var thumbnailSide: Int { 304 }

    /// A picture as training sees it, with its name and caption.
    func sheetItem(_ item: DatasetItem) throws -> ContactSheet.Item {
        ContactSheet.Item(
            try pixels(of: item).letterboxed(width: Self.thumbnailSide, height: Self.thumbnailSide), name: item.fileName, caption: item.caption,
            warning: item.isCaptioned ? nil : "no caption")
    }
}

extension DatasetItem {
    /// Whether words of its own lie beside it.
    var isCaptioned: Bool {
        if case .file = captionSource { return !caption.isEmpty }
        return false
    }
}
