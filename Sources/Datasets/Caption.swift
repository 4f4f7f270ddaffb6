#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import TensorCore

/// Where a picture's caption came from.
public enum CaptionSource: Sendable, Equatable {
    case file(String)
    /// The words of the folder's name.
    case classTokens
    case none
}

/// Reads a picture's caption beside it (sd-scripts `read_caption`).
enum CaptionFile {
    static let fallbackExtensions = [".txt", ".caption"]

    /// ".txt" whether or not the dot was given.
    static func normalised(_ ext: String) -> String { ext.hasPrefix(".") ? ext : "." + ext }

    /// The caption's path for a picture's path.
    static func path(for picture: String, extension ext: String) -> String { stem(picture) + normalised(ext) }

    static func stem(_ path: String) -> String {
        let name = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        guard let dot = path[name...].lastIndex(of: "."), dot != name else { return path }
        return String(path[..<dot])
    }

    /// The first of the candidates that exists; with the preferred extension first, then the other usual ones.
    static func find(for picture: String, extension ext: String) -> String? {
        let stem = stem(picture), preferred = normalised(ext)
        var candidates = [stem + preferred]
        // Face crops carry four numbers at the end of their names that their captions lack.
        let parts = FolderLayout.lastComponent(stem).split(separator: "_", omittingEmptySubsequences: false)
        if parts.count >= 5 {
            let dropped = parts.suffix(4).reduce(0) { $0 + $1.count + 1 }
            candidates.append(String(stem.dropLast(dropped)) + preferred)
        }
        candidates += fallbackExtensions.filter { $0 != preferred }.map { stem + $0 }
        return candidates.first { FileManager.default.fileExists(atPath: $0) }
    }

    /// The whole text, without the white space around it.
    /// - Throws: `DatasetError.unreadableCaption` when it is not UTF-8 or cannot be read.
    static func read(_ path: String) throws(DatasetError) -> String {
        guard let data = FileManager.default.contents(atPath: path) else { throw .unreadableCaption(path: path, reason: "the file cannot be opened") }
        guard data.count <= 1 << 20 else { throw .unreadableCaption(path: path, reason: "it has \(data.count) bytes, which is no caption") }
        guard let text = String(validating: data, as: UTF8.self) else { throw .unreadableCaption(path: path, reason: "it is not UTF-8 text") }
        let withoutMark = text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text
        return withoutMark.trimmed
    }
}

/// What is done to a caption each time it is used (sd-scripts `process_caption`).
public struct CaptionOptions: Sendable, Equatable, Codable {
    public var prefix: String
    public var suffix: String
    /// Probability of training without words.
    public var dropoutRate: Float
    /// Every n-th epoch is trained without words; 0 never.
    public var dropoutEveryEpochs: Int
    /// Probability of leaving out each tag behind the kept ones.
    public var tagDropoutRate: Float
    /// Tags behind the kept ones change their order.
    public var shuffles: Bool
    /// Leading tags that stay where they are.
    public var keepTokens: Int
    /// What separates tags.
    public var separator: String

    public init(
        prefix: String = "", suffix: String = "", dropoutRate: Float = 0, dropoutEveryEpochs: Int = 0, tagDropoutRate: Float = 0,
        shuffles: Bool = false, keepTokens: Int = 0, separator: String = ","
    ) {
        self.prefix = prefix
        self.suffix = suffix
        self.dropoutRate = dropoutRate
        self.dropoutEveryEpochs = dropoutEveryEpochs
        self.tagDropoutRate = tagDropoutRate
        self.shuffles = shuffles
        self.keepTokens = keepTokens
        self.separator = separator
    }

    /// Whether a caption is always used as it stands.
    public var isFixed: Bool { dropoutRate == 0 && dropoutEveryEpochs == 0 && tagDropoutRate == 0 && !shuffles }

    /// - Throws: `DatasetError.invalidOption`.
    public func validate() throws(DatasetError) {
        for (name, rate) in [("caption dropout rate", dropoutRate), ("caption tag dropout rate", tagDropoutRate)] where !(0...1).contains(rate) {
            throw .invalidOption(name: name, value: "\(rate)", allowed: "0 to 1", nearest: rate > 1 ? "1" : "0")
        }
        for (name, count) in [("keep tokens", keepTokens), ("caption dropout every n epochs", dropoutEveryEpochs)] where !(0...10_000).contains(count) {
            throw .invalidOption(name: name, value: "\(count)", allowed: "0 to 10000", nearest: count > 0 ? "10000" : "0")
        }
        guard !separator.isEmpty else { throw .invalidOption(name: "caption separator", value: "nothing", allowed: "one or more characters", nearest: ",") }
    }

    /// The caption as this use of the picture sees it.
    /// - Parameters:
    ///   - epoch: counted from 1.
    ///   - generator: draws dropout and order; untouched when nothing is random.
    public func apply(_ caption: String, epoch: Int, generator: inout TorchGenerator) -> String {
        var text = [prefix, caption.firstLine, suffix].filter { !$0.isEmpty }.joined(separator: " ")
        if dropoutRate > 0, generator.uniform() < dropoutRate { return "" }
        if dropoutEveryEpochs > 0, epoch % dropoutEveryEpochs == 0 { return "" }
        guard shuffles || tagDropoutRate > 0 else { return text }
        let tags = text.tags(separatedBy: separator)
        var free = Array(tags.dropFirst(keepTokens))
        if shuffles { free = generator.permutation(free.count).map { free[$0] } }
        if tagDropoutRate > 0 { free = free.filter { _ in generator.uniform() >= tagDropoutRate } }
        text = (tags.prefix(keepTokens) + free).joined(separator: ", ")
        return text
    }
}

extension String {
    var trimmed: String {
        var text = self[...]
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }

    /// Training uses the first line of a caption only.
    var firstLine: String { split(whereSeparator: \.isNewline).first.map { String($0).trimmed } ?? "" }

    /// Pieces between separators, stripped.
    func tags(separatedBy separator: String) -> [String] { split(separator: separator).map { String($0).trimmed }.filter { !$0.isEmpty } }
}
