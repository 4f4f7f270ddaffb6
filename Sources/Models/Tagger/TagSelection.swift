/// Which of a tagger's classes become a caption, and how they are written.
///
/// Source: sd-scripts' `tag_images_by_wd14_tagger.py` (reference §12.4), whose order is that of the classes; here the likeliest
/// tag comes first.
public struct TagSelection: Sendable, Equatable {
    /// Where the likeliest rating ("general", "sensitive" …) is written.
    public enum Rating: Sendable, Equatable { case none, first, last }

    /// Probabilities from which a tag is written.
    public var generalThreshold: Float = 0.35
    public var characterThreshold: Float = 0.35
    /// `_` becomes a space in tags of more than three characters that are no faces.
    public var replacesUnderscores = true
    public var rating = Rating.none
    /// Characters come before general tags; otherwise all stand by their probability.
    public var charactersFirst = false
    /// "name_(series)" becomes two tags, "name" and "series".
    public var expandsCharacters = false
    /// Tags that are never written.
    public var undesired: Set<String> = []
    /// Tags that stand before the others where they occur, in this order.
    public var alwaysFirst: [String] = []
    /// Tags written by other names.
    public var replacements: [String: String] = [:]
    public var separator = ", "

    public init() {}

    /// A class with its probability.
    public struct ScoredTag: Sendable, Equatable {
        public let name: String
        public let category: TagTable.Category
        public let probability: Float
    }

    /// The tags of one picture in the order in which they are written; names as they are written.
    ///
    /// - Parameter probabilities: one for each row of the table.
    public func select(_ probabilities: [Float], from table: TagTable) -> [ScoredTag] {
        precondition(probabilities.count == table.tags.count, "\(probabilities.count) probabilities for \(table.tags.count) tags")
        let scored = zip(table.tags, probabilities).compactMap { tag, probability in
            tag.category.map { ScoredTag(name: tag.name, category: $0, probability: probability) }
        }
        var chosen = ordered(scored.filter { tag in
            switch tag.category {
            case .general: tag.probability >= generalThreshold
            case .character: tag.probability >= characterThreshold
            case .rating: false
            }
        }).flatMap(written)
        let ratings = scored.filter { $0.category == .rating }
        if let best = ratings.indices.max(by: { ratings[$0].probability < ratings[$1].probability }), rating != .none {
            chosen.insert(contentsOf: written(ratings[best]), at: rating == .first ? 0 : chosen.count)
        }
        let unwanted = Set(undesired.flatMap { [$0, spaced($0)] })
        chosen.removeAll { unwanted.contains($0.name) }
        let leaders = alwaysFirst.flatMap { name in chosen.filter { $0.name == name || $0.name == spaced(name) } }
        return leaders + chosen.filter { !leaders.contains($0) }
    }

    /// A caption.
    public func caption(_ probabilities: [Float], from table: TagTable) -> String {
        select(probabilities, from: table).map(\.name).joined(separator: separator)
    }

    /// Likeliest first, of equals the first in the table.
    private func ordered(_ tags: [ScoredTag]) -> [ScoredTag] {
        func isCharacter(_ tag: ScoredTag) -> Bool { tag.category == .character }
        return tags.enumerated().sorted { a, b in
            if charactersFirst, isCharacter(a.element) != isCharacter(b.element) { return isCharacter(a.element) }
            return (a.element.probability, b.offset) > (b.element.probability, a.offset)
        }.map(\.element)
    }

    /// The tag under the name, or the two names, by which it is written.
    private func written(_ tag: ScoredTag) -> [ScoredTag] {
        let names = tag.category == .character && expandsCharacters ? Self.expanded(tag.name) : [tag.name]
        return names.map { name in
            let shown = spaced(name)
            return ScoredTag(name: replacements[shown] ?? replacements[name] ?? shown, category: tag.category, probability: tag.probability)
        }
    }

    /// "name_(costume)_(series)" → "name_(costume)", "series".
    private static func expanded(_ name: String) -> [String] {
        guard name.hasSuffix(")"), let start = name.lastIndex(of: "(") else { return [name] }
        let series = name[name.index(after: start)...].replacing(")", with: "")
        let own = name[..<start]
        return [String(own.hasSuffix("_") ? own.dropLast() : own), String(series)].filter { !$0.isEmpty }
    }

    private func spaced(_ name: String) -> String {
        guard replacesUnderscores, name.count > 3, !Self.faces.contains(name) else { return name }
        return name.replacing("_", with: " ")
    }

    /// Faces drawn with characters that are longer than three of them.
    private static let faces: Set<String> = ["(o)_(o)", "<o>_<o>", "<|>_<|>", "||_||"]
}
