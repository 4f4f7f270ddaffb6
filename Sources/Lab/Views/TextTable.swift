/// Rows of words: aligned columns in plain text, a table in HTML. Both say the same.
package struct TextTable {
    package var header: [String]
    package var rows: [[String]]
    /// Columns to align at the right: numbers.
    package var numeric: Set<Int>

    package init(header: [String], rows: [[String]], numeric: Set<Int> = []) {
        (self.header, self.rows, self.numeric) = (header, rows, numeric)
    }

    package var plain: String {
        let widths = header.indices.map { column in (rows.map { $0[column].count } + [header[column].count]).max() ?? 0 }
        let lines = [header, widths.map { String(repeating: "─", count: $0) }] + rows
        return lines.map { cells in
            let padded = cells.enumerated().map { column, cell in
                let space = String(repeating: " ", count: widths[column] - cell.count)
                return numeric.contains(column) ? space + cell : cell + space
            }
            return Self.trimmedEnd(padded.joined(separator: "  "))
        }.joined(separator: "\n")
    }

    package var html: String {
        func row(_ cells: [String], _ tag: String) -> String {
            let inside = cells.enumerated().map { column, cell in
                "<\(tag) style=\"text-align:\(numeric.contains(column) ? "right" : "left")\">\(cell.escapedForHTML)</\(tag)>"
            }
            return "<tr>\(inside.joined())</tr>"
        }
        return "<table><thead>\(row(header, "th"))</thead><tbody>\(rows.map { row($0, "td") }.joined())</tbody></table>"
    }

    private static func trimmedEnd(_ line: String) -> String {
        var line = line
        while line.last == " " { line.removeLast() }
        return line
    }
}

extension String {
    /// Safe inside an element and inside a quoted attribute: captions and file names come from downloaded data sets.
    package var escapedForHTML: String {
        reduce(into: "") { text, character in
            switch character {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            case "'": text += "&#39;"
            default: text.append(character)
            }
        }
    }
}
