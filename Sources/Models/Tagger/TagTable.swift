import Foundation

/// `selected_tags.csv`: a tagger's classes in order, with a heading and the columns tag_id, name, category, count.
public struct TagTable: Sendable, Equatable {
    public enum Category: Int, Sendable { case general = 0, character = 4, rating = 9 }

    public struct Tag: Sendable, Equatable {
        public let name: String
        /// Nil for a category that is none of the three (artists, series, notes); such tags are never written.
        public let category: Category?
    }

    public let tags: [Tag]

    public init(path: String) throws {
        let data: Data
        do { data = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            throw ConfigurationError.unreadable(file: path, reason: error.localizedDescription)
        }
        let rows = Self.rows(Array(String(decoding: data, as: UTF8.self).unicodeScalars))
        guard let heading = rows.first, let name = heading.firstIndex(of: "name"), let category = heading.firstIndex(of: "category") else {
            throw ConfigurationError.malformed(file: path, reason: "its first line does not name the columns name and category")
        }
        tags = try rows.dropFirst().enumerated().map { index, row in
            guard row.count > max(name, category), let number = Int(row[category]) else {
                throw ConfigurationError.malformed(file: path, reason: "row \(index + 2) is not a tag with a name and a number for its category")
            }
            return Tag(name: row[name], category: Category(rawValue: number))
        }
    }

    /// Fields of each line (RFC 4180): in quotes a comma or a line's end is text, and two quotes are one.
    private static func rows(_ text: [Unicode.Scalar]) -> [[String]] {
        var rows: [[String]] = [], row: [String] = [], field = String.UnicodeScalarView()
        var isQuoted = false, position = 0
        func endField() {
            row.append(String(field))
            field = String.UnicodeScalarView()
        }
        func endRow() {
            if !row.isEmpty || !field.isEmpty {
                endField()
                rows.append(row)
            }
            row = []
        }
        while position < text.count {
            let scalar = text[position]
            position += 1
            switch scalar {
            case "\"" where isQuoted && position < text.count && text[position] == "\"":
                field.append(scalar)
                position += 1
            case "\"" where isQuoted || field.isEmpty: isQuoted.toggle()
            case "," where !isQuoted: endField()
            case "\n" where !isQuoted: endRow()
            case "\r" where !isQuoted, "\u{feff}" where position == 1: break
            default: field.append(scalar)
            }
        }
        endRow()
        return rows
    }
}
