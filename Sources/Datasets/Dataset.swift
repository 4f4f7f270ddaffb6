#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import TensorCore
import Imaging

/// How a folder of pictures is read.
public struct DatasetOptions: Sendable, Equatable, Codable {
    /// Pixels; the area that pictures are brought to.
    public var resolution: PixelSize
    public var buckets: BucketOptions
    /// In place of the repeats in the folders' names.
    public var repeats: Int?
    public var captionExtension: String
    /// Words for pictures without a caption, in place of those in the folder's name.
    public var classTokens: String?
    /// Kohya's regularisation folder.
    public var regularisation: String?
    /// nil: area averaging when a picture shrinks, Lanczos otherwise, as Kohya's scripts do.
    public var resizeFilter: String?
    /// Leaves out pictures that cannot be read instead of refusing the data set.
    public var skipsUnusable: Bool

    public init(
        resolution: PixelSize = PixelSize(512, 512), buckets: BucketOptions = BucketOptions(), repeats: Int? = nil, captionExtension: String = ".txt",
        classTokens: String? = nil, regularisation: String? = nil, resizeFilter: String? = nil, skipsUnusable: Bool = false
    ) {
        self.resolution = resolution
        self.buckets = buckets
        self.repeats = repeats
        self.captionExtension = captionExtension
        self.classTokens = classTokens
        self.regularisation = regularisation
        self.resizeFilter = resizeFilter
        self.skipsUnusable = skipsUnusable
    }

    static let repeatRange = 1...100_000

    func validate() throws(DatasetError) {
        if let repeats, !Self.repeatRange.contains(repeats) {
            throw .invalidOption(name: "repeats", value: "\(repeats)", allowed: "1 to 100000", nearest: repeats < 1 ? "1" : "100000")
        }
        if let name = resizeFilter, ResizeFilter(rawValue: name) == nil {
            throw .invalidOption(name: "resize filter", value: name, allowed: ResizeFilter.allCases.map(\.rawValue).joined(separator: ", "), nearest: "lanczos")
        }
    }
}

/// One picture with its caption and its place.
public struct DatasetItem: Sendable, Equatable {
    public let path: String
    /// Pixels, upright.
    public let size: PixelSize
    public let caption: String
    public let captionSource: CaptionSource
    /// Index into the data set's subsets.
    public let subset: Int
    public let repeats: Int
    public let isRegularisation: Bool
    public let placement: BucketPlacement
    /// Of the pixels; equal for equal pictures.
    public let contentHash: UInt64

    /// The file's name without its folder.
    public var fileName: String { FolderLayout.lastComponent(path) }
}

/// Pictures of one bucket, for tables.
public struct BucketCount: Sendable, Equatable {
    public let size: PixelSize
    /// Pictures, and pictures times repeats.
    public let pictures: Int, visits: Int
}

/// Pictures to train on, read and checked, with the buckets they go to.
///
/// A value: reading files happens in `init` and when pixels are asked for, nowhere else.
public struct Dataset: Sendable {
    public let location: String
    public let reading: FolderReading
    public let options: DatasetOptions
    public let subsets: [Subset]
    /// Training pictures first, each subset sorted by path; then regularisation pictures.
    public let items: [DatasetItem]
    public let findings: [Finding]

    /// Reads a folder, every picture in it included, so that a damaged file is known before training starts.
    /// - Parameters:
    ///   - path: Kohya's parent folder, one of its `<repeats>_<name>` folders, or a plain folder of pictures.
    ///   - progress: pictures read, pictures in all; what it throws ends the reading.
    /// - Throws: `DatasetError`, or what `progress` throws.
    public init(_ path: String, options: DatasetOptions = DatasetOptions(), progress: (Int, Int) throws -> Void = { _, _ in }) throws {
        try self.init(FolderLayout(path, isRegularisation: false), at: path, options: options, progress: progress)
    }

    /// Reads folders that are named one by one, as Kohya's dataset TOML names them.
    /// - Throws: `DatasetError`, or what `progress` throws.
    public init(_ sources: [SubsetSource], options: DatasetOptions = DatasetOptions(), progress: (Int, Int) throws -> Void = { _, _ in }) throws {
        for source in sources where !DatasetOptions.repeatRange.contains(source.repeats) {
            throw DatasetError.invalidOption(name: "repeats", value: "\(source.repeats)", allowed: "1 to 100000", nearest: source.repeats < 1 ? "1" : "100000")
        }
        try self.init(FolderLayout(sources), at: sources.map(\.folder).joined(separator: ", "), options: options, progress: progress)
    }

    private init(_ layout: FolderLayout, at path: String, options: DatasetOptions, progress: (Int, Int) throws -> Void) throws {
        try options.validate()
        let rule = try BucketRule(resolution: options.resolution, options: options.buckets)
        var subsets = layout.subsets, ignored = layout.ignored
        if let regularisation = options.regularisation {
            let other = try FolderLayout(regularisation, isRegularisation: true)
            subsets += other.subsets
            ignored += other.ignored
        }
        if let repeats = options.repeats {
            for i in subsets.indices where !subsets[i].isRegularisation { subsets[i].repeats = repeats }
        }
        var reader = Reader(options: options, rule: rule)
        try reader.read(subsets, progress: progress)
        if !reader.unusable.isEmpty, !options.skipsUnusable || reader.items.allSatisfy(\.isRegularisation) {
            throw DatasetError.unusablePictures(reader.unusable, of: reader.items.count + reader.unusable.count)
        }
        guard reader.items.contains(where: { !$0.isRegularisation }) else {
            throw DatasetError.noPictures(path, found: "its numbered folders (\(subsets.prefix(3).map(\.name).joined(separator: ", "))) are empty")
        }
        location = path
        reading = layout.reading
        self.options = options
        self.subsets = subsets
        items = reader.items
        findings = reader.unusable.map(Finding.skipped) + Self.check(reader.items, options: options, rotated: reader.rotated) + ignored
            + Self.unusedRegularisation(reader.items)
    }

    init(location: String, reading: FolderReading, options: DatasetOptions, subsets: [Subset], items: [DatasetItem], findings: [Finding]) {
        self.location = location
        self.reading = reading
        self.options = options
        self.subsets = subsets
        self.items = items
        self.findings = findings
    }

    /// Training pictures, without regularisation.
    public var pictures: [DatasetItem] { items.filter { !$0.isRegularisation } }

    /// Pictures × repeats, the number the guide counts.
    public var imageSteps: Int { pictures.reduce(0) { $0 + $1.repeats } }

    /// Buckets in use, by resolution.
    public var bucketCounts: [BucketCount] {
        Dictionary(grouping: items, by: \.placement.bucket)
            .map { size, items in BucketCount(size: size, pictures: items.count, visits: items.reduce(0) { $0 + $1.repeats }) }
            .sorted { ($0.size.width, $0.size.height) < ($1.size.width, $1.size.height) }
    }

    /// Mean |bucket's − picture's| aspect ratio, for metadata.
    public var meanAspectError: Double { items.isEmpty ? 0 : items.reduce(0) { $0 + $1.placement.aspectError } / Double(items.count) }

    /// - Throws: `DatasetError.noCaptions` when no picture has a caption and no class tokens were named outright.
    public func requireCaptions() throws(DatasetError) {
        if options.classTokens != nil { return }
        let captioned = pictures.contains { if case .file = $0.captionSource { !$0.caption.isEmpty } else { false } }
        guard captioned else { throw .noCaptions(folder: location, extension: CaptionFile.normalised(options.captionExtension)) }
    }

    /// The picture as the network sees it: upright, resized, its bucket cut out of the middle.
    /// - Throws: `ImageError` when the file has changed or gone since it was checked.
    public func pixels(of item: DatasetItem) throws(ImageError) -> Pixels {
        try Picture.load(path: item.path).placed(item.placement, filter: options.resizeFilter.flatMap(ResizeFilter.init(rawValue:)))
    }

    private static func unusedRegularisation(_ items: [DatasetItem]) -> [Finding] {
        let used = Set(RegularisationRule.visits(items).keys)
        let unused = items.indices.filter { items[$0].isRegularisation && !used.contains($0) }.count
        return unused > 0 ? [.unusedRegularisation(count: unused)] : []
    }
}

/// Reads the pictures of all subsets, one after another.
private struct Reader {
    let options: DatasetOptions
    let rule: BucketRule
    var items: [DatasetItem] = []
    var unusable: [UnusablePicture] = []
    var rotated: [String] = []

    /// Shorter than this, a picture shows nothing that could be learnt, pixels.
    static let shortestSide = 16

    init(options: DatasetOptions, rule: BucketRule) {
        self.options = options
        self.rule = rule
    }

    mutating func read(_ subsets: [Subset], progress: (Int, Int) throws -> Void) throws {
        var files: [(path: String, subset: Int)] = []
        for (index, subset) in subsets.enumerated() {
            files += try FolderLayout.list(subset.folder).filter(FolderLayout.isPictureName).map { (subset.folder + "/" + $0, index) }
        }
        for (done, file) in files.enumerated() {
            do throws(ImageError) {
                if let item = try item(file.path, subsets[file.subset], index: file.subset) { items.append(item) }
            } catch {
                unusable.append(UnusablePicture(path: file.path, reason: error.description, wayOut: error.wayOut))
            }
            try progress(done + 1, files.count)
        }
        for i in items.indices { items[i] = try captioned(items[i], subsets[items[i].subset]) }
    }

    private mutating func item(_ path: String, _ subset: Subset, index: Int) throws(ImageError) -> DatasetItem? {
        let picture = try Picture.load(path: path)
        let size = PixelSize(picture.width, picture.height)
        guard min(size.width, size.height) >= Self.shortestSide else {
            unusable.append(UnusablePicture(
                path: path, reason: "\(path) has \(size) pixels; the shorter side must have \(Self.shortestSide) or more",
                wayOut: "Replace it by a larger picture, or remove it."))
            return nil
        }
        if try Picture.info(path: path).orientation > 1 { rotated.append(path) }
        return DatasetItem(
            path: path, size: size, caption: "", captionSource: .none, subset: index, repeats: subset.repeats, isRegularisation: subset.isRegularisation,
            placement: rule.place(size), contentHash: Self.hash(picture))
    }

    private func captioned(_ item: DatasetItem, _ subset: Subset) throws(DatasetError) -> DatasetItem {
        if let path = CaptionFile.find(for: item.path, extension: subset.captionExtension ?? options.captionExtension) {
            return item.with(caption: try CaptionFile.read(path), source: .file(path))
        }
        let tokens = options.classTokens ?? subset.classTokens
        return item.with(caption: tokens ?? "", source: tokens == nil ? .none : .classTokens)
    }

    /// FNV-1a over size and pixels.
    private static func hash(_ picture: Pixels) -> UInt64 {
        var hash = FNV1a(seed: UInt64(picture.width) << 32 ^ UInt64(picture.height))
        picture.rgb.withUnsafeBytes { hash.add($0) }
        return hash.value
    }
}

extension DatasetItem {
    func with(caption: String, source: CaptionSource) -> DatasetItem {
        DatasetItem(
            path: path, size: size, caption: caption, captionSource: source, subset: subset, repeats: repeats, isRegularisation: isRegularisation,
            placement: placement, contentHash: contentHash)
    }
}
