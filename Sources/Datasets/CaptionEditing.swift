#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A change to captions.
public enum CaptionEdit: Sendable, Equatable {
    /// Words before, followed by a space.
    case prefix(String)
    /// Words after, preceded by a space.
    case postfix(String)
    /// Every occurrence of a text becomes another.
    case replace(String, with: String)
    /// A tag is taken out, whatever its case.
    case removeTag(String)
    /// A tag is added at the end unless it is there.
    case addTag(String)
    /// The whole text.
    case set(String)

    /// The caption after the change.
    public func apply(to caption: String, separator: String = ",") -> String {
        switch self {
        case .prefix(let words): [words.trimmed, caption].filter { !$0.isEmpty }.joined(separator: " ")
        case .postfix(let words): [caption, words.trimmed].filter { !$0.isEmpty }.joined(separator: " ")
        case .replace(let old, let new): old.isEmpty ? caption : caption.split(separator: old, omittingEmptySubsequences: false).joined(separator: new).trimmed
        case .removeTag(let tag):
            caption.tags(separatedBy: separator).filter { $0.lowercased() != tag.trimmed.lowercased() }.joined(separator: "\(separator) ")
        case .addTag(let tag):
            caption.tags(separatedBy: separator).contains { $0.lowercased() == tag.trimmed.lowercased() }
                ? caption : [caption, tag.trimmed].filter { !$0.isEmpty }.joined(separator: "\(separator) ")
        case .set(let text): text.trimmed
        }
    }
}

/// One caption before and after.
public struct CaptionChange: Sendable, Equatable {
    public let picture: String
    /// The caption file.
    public let path: String
    /// nil: there was no file.
    public let before: String?
    public let after: String
}

extension Dataset {
    /// What an edit would change, and nothing else; regularisation pictures are left alone.
    /// - Parameter isIncluded: which pictures take part.
    public func changes(_ edits: [CaptionEdit], where isIncluded: (DatasetItem) -> Bool = { _ in true }) -> [CaptionChange] {
        changes(where: isIncluded) { item in
            let existing = if case .file = item.captionSource { item.caption } else { "" }
            return edits.reduce(existing) { $1.apply(to: $0) }
        }
    }

    /// New captions by path of the picture, from a captioner for instance.
    public func changes(captions: [String: String]) -> [CaptionChange] {
        changes(where: { captions[$0.path] != nil }) { captions[$0.path] ?? "" }
    }

    private func changes(where isIncluded: (DatasetItem) -> Bool, _ caption: (DatasetItem) -> String) -> [CaptionChange] {
        pictures.filter(isIncluded).compactMap { item in
            let after = caption(item)
            if case .file(let path) = item.captionSource {
                return after == item.caption ? nil : CaptionChange(picture: item.path, path: path, before: item.caption, after: after)
            }
            guard !after.isEmpty else { return nil }
            return CaptionChange(
                picture: item.path, path: CaptionFile.path(for: item.path, extension: options.captionExtension), before: nil, after: after)
        }
    }

    /// Writes captions and returns the data set as it then is.
    /// - Parameter overwrite: without it, one existing caption among the changes is enough for nothing to be written.
    /// - Throws: `DatasetError.captionsExist`, `cannotWriteCaption`.
    public func writing(_ changes: [CaptionChange], overwrite: Bool) throws(DatasetError) -> Dataset {
        if !overwrite {
            let existing = changes.filter { $0.before != nil || FileManager.default.fileExists(atPath: $0.path) }.map(\.path)
            guard existing.isEmpty else { throw .captionsExist(existing) }
        }
        var captions: [String: CaptionChange] = [:]
        for change in changes {
            try Self.write(change.after + "\n", to: change.path)
            captions[change.picture] = change
        }
        let edited = items.map { item in captions[item.path].map { item.with(caption: $0.after, source: .file($0.path)) } ?? item }
        let kept = findings.filter { finding in
            switch finding {
            case .skipped, .ignoredFolder, .loosePictures, .unusedRegularisation: true
            default: false
            }
        }
        let rotated = findings.flatMap { finding -> [String] in if case .rotated(let files) = finding { files } else { [] } }
        return Dataset(
            location: location, reading: reading, options: options, subsets: subsets, items: edited,
            findings: Self.check(edited, options: options, rotated: rotated) + kept)
    }

    /// Whole or not at all.
    private static func write(_ text: String, to path: String) throws(DatasetError) {
        do {
            try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw .cannotWriteCaption(path: path, reason: "the system refuses it")
        }
    }

    /// How many pictures carry each tag, most frequent first; tags in lower case.
    public func tagCounts(separator: String = ",") -> [(tag: String, count: Int)] {
        Self.tagCounts(pictures.map(\.caption), separator: separator)
    }

    /// Tag counts of each subset by its folder's name: Kohya's `ss_tag_frequency`.
    public func tagFrequency(separator: String = ",") -> [String: [(tag: String, count: Int)]] {
        Dictionary(uniqueKeysWithValues: subsets.indices.filter { !subsets[$0].isRegularisation }.map { index in
            (subsets[index].name, Self.tagCounts(items.filter { $0.subset == index }.map(\.caption), separator: separator))
        })
    }

    private static func tagCounts(_ captions: [String], separator: String) -> [(tag: String, count: Int)] {
        var counts: [String: Int] = [:]
        for caption in captions { for tag in Set(caption.tags(separatedBy: separator).map { $0.lowercased() }) { counts[tag, default: 0] += 1 } }
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }
}
