#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import Text

/// Pictures that are trained on together: one folder.
public struct Subset: Sendable, Equatable, Codable {
    /// Path of the folder.
    public let folder: String
    /// Its name as Kohya's metadata uses it: "10_mystyle".
    public let name: String
    /// How often an epoch visits each picture.
    public var repeats: Int
    /// The words after the number, the caption of pictures that have none.
    public let classTokens: String?
    public let isRegularisation: Bool
    /// Of its caption files, where it is not the data set's.
    public var captionExtension: String?
}

/// One folder of pictures asked for by itself, as Kohya's dataset TOML does; its name carries no number.
public struct SubsetSource: Sendable, Equatable {
    public var folder: String
    public var repeats: Int
    public var classTokens: String?
    /// nil: the data set's.
    public var captionExtension: String?
    public var isRegularisation: Bool

    public init(folder: String, repeats: Int = 1, classTokens: String? = nil, captionExtension: String? = nil, isRegularisation: Bool = false) {
        (self.folder, self.repeats, self.classTokens) = (folder, repeats, classTokens)
        (self.captionExtension, self.isRegularisation) = (captionExtension, isRegularisation)
    }
}

/// What a path was taken for.
public enum FolderReading: Sendable, Equatable {
    /// Kohya's parent folder, with `<repeats>_<name>` folders inside.
    case parent
    /// One `<repeats>_<name>` folder itself.
    case leaf
    /// A folder of pictures whose name carries no number: one repeat.
    case plain
    /// Folders that were named one by one, each with its repeats.
    case listed
}

/// Reads Kohya's folder convention (sd-scripts `config_util`), and accepts the leaf folder as well as its parent.
struct FolderLayout {
    let reading: FolderReading
    let subsets: [Subset]
    let ignored: [Finding]

    static let pictureExtensions: Set = ["png", "jpg", "jpeg", "webp"]
    /// Pictures by name that cannot be decoded here.
    private static let foreignExtensions: Set = ["bmp", "gif", "tif", "tiff", "avif", "heic", "heif", "jxl", "svg", "psd"]

    init(_ path: String, isRegularisation: Bool) throws(DatasetError) {
        let folder = Self.withoutTrailingSlash(path)
        let entries = try Self.list(folder)
        let folders = entries.filter { Self.isFolder(folder + "/" + $0) }
        let pictures = entries.filter(Self.isPictureName)
        let numbered = folders.compactMap { name in Self.parse(name).map { (name, $0.repeats, $0.tokens) } }
        var ignored: [Finding] = []
        if !numbered.isEmpty {
            reading = .parent
            subsets = numbered.map { name, repeats, tokens in
                Subset(folder: folder + "/" + name, name: name, repeats: repeats, classTokens: tokens, isRegularisation: isRegularisation)
            }
            for name in folders where Self.parse(name) == nil { ignored.append(.ignoredFolder(folder + "/" + name)) }
            if !pictures.isEmpty { ignored.append(.loosePictures(folder: folder, count: pictures.count)) }
        } else if !pictures.isEmpty {
            let name = Self.lastComponent(folder)
            let parsed = Self.parse(name)
            reading = parsed == nil ? .plain : .leaf
            subsets = [Subset(folder: folder, name: name, repeats: parsed?.repeats ?? 1, classTokens: parsed?.tokens, isRegularisation: isRegularisation)]
        } else {
            guard !entries.isEmpty else { throw .emptyFolder(path) }
            throw .noPictures(path, found: Self.describe(entries, folders: folders))
        }
        self.ignored = ignored
    }

    /// "10_my_style" is 10 repeats of "my_style"; nil when there is no whole number of at least 1 before the first `_`.
    static func parse(_ name: String) -> (repeats: Int, tokens: String?)? {
        let parts = name.split(separator: "_", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let repeats = Int(parts[0]), repeats >= 1 else { return nil }
        return (repeats, parts[1].isEmpty ? nil : String(parts[1]))
    }

    /// Folders named one by one.
    init(_ sources: [SubsetSource]) throws(DatasetError) {
        var subsets: [Subset] = []
        for source in sources {
            let folder = Self.withoutTrailingSlash(source.folder), entries = try Self.list(folder)
            guard !entries.isEmpty else { throw .emptyFolder(folder) }
            guard entries.contains(where: Self.isPictureName) else {
                throw .noPictures(folder, found: Self.describe(entries, folders: entries.filter { Self.isFolder(folder + "/" + $0) }))
            }
            subsets.append(Subset(
                folder: folder, name: Self.lastComponent(folder), repeats: source.repeats, classTokens: source.classTokens,
                isRegularisation: source.isRegularisation, captionExtension: source.captionExtension))
        }
        (reading, self.subsets, ignored) = (.listed, subsets, [])
    }

    static func isPictureName(_ name: String) -> Bool { !name.hasPrefix(".") && pictureExtensions.contains(pathExtension(name)) }

    static func pathExtension(_ name: String) -> String {
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
        return name[name.index(after: dot)...].lowercased()
    }

    /// Names in a folder, hidden ones left out, sorted.
    static func list(_ path: String) throws(DatasetError) -> [String] {
        var isDirectory = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else { throw .missingFolder(path, nearest: nearestNeighbour(path)) }
        guard isDirectory else { throw .notAFolder(path) }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted()
        } catch {
            throw .unreadableFolder(path, reason: "the system does not let it be listed")
        }
    }

    static func isFolder(_ path: String) -> Bool {
        var isDirectory = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory
    }

    static func withoutTrailingSlash(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    static func lastComponent(_ path: String) -> String { String(path.split(separator: "/").last ?? "/") }

    private static func describe(_ entries: [String], folders: [String]) -> String {
        let foreign = Set(entries.map(pathExtension)).intersection(foreignExtensions)
        if !foreign.isEmpty { return "there are \(foreign.sorted().joined(separator: ", ")) files, which cannot be read" }
        if !folders.isEmpty { return "there are folders (\(folders.prefix(3).joined(separator: ", "))) whose names do not begin with a number of repeats, as in 10_\(folders[0])" }
        return "there are \(entries.count) other files (\(entries.prefix(3).joined(separator: ", ")))"
    }

    /// A folder beside the missing one whose name differs least.
    private static func nearestNeighbour(_ path: String) -> String? {
        let cut = path.lastIndex(of: "/")
        let parent = cut.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let wanted = lastComponent(path)
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: parent) else { return nil }
        let folders = names.filter { !$0.hasPrefix(".") && isFolder(parent + "/" + $0) }
        guard let best = nearestName(to: wanted, among: folders.sorted()) else { return nil }
        return cut == nil ? best : (parent == "/" ? "/" + best : parent + "/" + best)
    }
}
