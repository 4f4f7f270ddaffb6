#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import Imaging

/// Brings pictures of any size into Kohya's layout: upright, resized, cut, numbered, their captions beside them.
///
/// Sources are only read: what is written goes into a new folder, which appears whole or not at all.
public struct PicturePreparation: Sendable, Equatable {
    /// Pixels; what every picture is cut to, or the area that it is brought to.
    public var resolution: PixelSize
    /// Whether all pictures get the resolution's proportions; otherwise each keeps its own as nearly as multiples of `step` allow.
    public var crops: Bool
    /// Sides are multiples of this where pictures keep their proportions, pixels.
    public var step: Int
    /// Whether smaller pictures are enlarged; otherwise they are left out.
    public var upscales: Bool
    /// Of the new folder `<repeats>_<name>`.
    public var repeats: Int
    public var name: String
    public var captionExtension: String

    /// - Parameter name: class tokens, the words after the number in the folder's name.
    public init(
        resolution: PixelSize, crops: Bool = true, step: Int = 64, upscales: Bool = true, repeats: Int = 10, name: String, captionExtension: String = ".txt"
    ) {
        (self.resolution, self.crops, self.step, self.upscales) = (resolution, crops, step, upscales)
        (self.repeats, self.name, self.captionExtension) = (repeats, name, captionExtension)
    }

    /// What became of one picture.
    public struct Outcome: Sendable, Equatable {
        public let source: String
        /// Pixels of the source, upright.
        public let size: PixelSize
        public let placement: BucketPlacement
        /// Path of the new file; nil for a picture that was left out because it is too small.
        public let target: String?
        public let hasCaption: Bool
    }

    /// Reads every picture of `source` and writes the prepared ones to `destination/<repeats>_<name>`.
    ///
    /// - Parameters:
    ///   - source: a folder of pictures, one of Kohya's folders, or their parent.
    ///   - progress: pictures done, pictures in all; what it throws ends the work, and nothing is left behind.
    /// - Returns: one outcome for each picture, by path, and the new folder.
    /// - Throws: `DatasetError`; `ImageError` for a picture that cannot be read or written.
    public func run(
        from source: String, to destination: String, progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> (folder: String, outcomes: [Outcome]) {
        let rule = try checkedRule(), pictures = try Self.pictures(in: source)
        let destination = FolderLayout.withoutTrailingSlash(destination), folder = "\(destination)/\(repeats)_\(name)"
        let files = FileManager.default
        guard !files.fileExists(atPath: folder) else { throw DatasetError.destinationExists(folder) }
        let partial = "\(destination)/.\(repeats)_\(name).partial"
        try? files.removeItem(atPath: partial)
        do {
            try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
        } catch {
            throw DatasetError.unwritableFolder(destination)
        }
        defer { try? files.removeItem(atPath: partial) }
        var outcomes: [Outcome] = [], written = 0
        for (done, path) in pictures.enumerated() {
            let number = String(String(10_000_000 + written + 1).suffix(max(3, String(pictures.count).count)))
            let outcome = try prepare(path, number: number, rule, partial: partial, folder: folder)
            if outcome.target != nil { written += 1 }
            outcomes.append(outcome)
            try progress(done + 1, pictures.count)
        }
        guard written > 0 else { throw DatasetError.allTooSmall(count: pictures.count, resolution: resolution) }
        do { try files.moveItem(atPath: partial, toPath: folder) } catch { throw DatasetError.unwritableFolder(destination) }
        return (folder, outcomes)
    }

    private func prepare(_ path: String, number: String, _ rule: BucketRule, partial: String, folder: String) throws -> Outcome {
        let picture = try Picture.load(path: path), size = PixelSize(picture.width, picture.height)
        let placement = rule.place(size)
        let grows = placement.resized.width > size.width || placement.resized.height > size.height
        guard upscales || !grows else { return Outcome(source: path, size: size, placement: placement, target: nil, hasCaption: false) }
        try PNG.write(picture.placed(placement), to: "\(partial)/\(number).png")
        let caption = CaptionFile.find(for: path, extension: captionExtension)
        if let caption { try write(CaptionFile.read(caption), to: partial + "/" + number + CaptionFile.normalised(captionExtension)) }
        return Outcome(source: path, size: size, placement: placement, target: "\(folder)/\(number).png", hasCaption: caption != nil)
    }

    private func write(_ caption: String, to path: String) throws(DatasetError) {
        do { try (caption + "\n").write(toFile: path, atomically: true, encoding: .utf8) } catch {
            throw .cannotWriteCaption(path: path, reason: "the system refuses it")
        }
    }

    private func checkedRule() throws(DatasetError) -> BucketRule {
        guard DatasetOptions.repeatRange.contains(repeats) else {
            throw .invalidOption(name: "repeats", value: "\(repeats)", allowed: "1 to 100000", nearest: repeats < 1 ? "1" : "100000")
        }
        guard !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
            throw .invalidOption(name: "name", value: name, allowed: "words that can name a folder, without /", nearest: "mystyle")
        }
        guard crops else {
            let shortest = min(resolution.width, resolution.height), longest = max(resolution.width, resolution.height)
            let step = max(8, min(step, shortest / 2 / 8 * 8))
            return try BucketRule(
                resolution: resolution,
                options: BucketOptions(minimumSide: max(step, shortest / 2), maximumSide: longest * 2, step: step, neverUpscales: false))
        }
        return try BucketRule(resolution: resolution, options: BucketOptions(isEnabled: false))
    }

    private static func pictures(in source: String) throws(DatasetError) -> [String] {
        var paths: [String] = []
        for subset in try FolderLayout(source, isRegularisation: false).subsets {
            paths += try FolderLayout.list(subset.folder).filter(FolderLayout.isPictureName).map { subset.folder + "/" + $0 }
        }
        guard !paths.isEmpty else { throw .noPictures(source, found: "its numbered folders are empty") }
        return paths
    }
}

extension Pixels {
    /// Resized as the placement says, and its bucket cut out of the middle.
    ///
    /// - Parameter filter: nil: area averaging when the picture shrinks, Lanczos otherwise, as Kohya's scripts do.
    func placed(_ placement: BucketPlacement, filter: ResizeFilter? = nil) -> Pixels {
        let target = placement.resized, bucket = placement.bucket
        let shrinks = target.width < width && target.height < height
        return resized(width: target.width, height: target.height, filter: filter ?? (shrinks ? .area : .lanczos))
            .cropped(x: (target.width - bucket.width) / 2, y: (target.height - bucket.height) / 2, width: bucket.width, height: bucket.height)
    }
}
