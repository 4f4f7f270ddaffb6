/// What stands at a place of a cell: shared by completion and inspection.
struct CursorContext {
    enum Place: Equatable {
        /// In the name of a magic; `isCellMagic` after `%%`.
        case name(isCellMagic: Bool)
        /// In a word that may be a magic without its `%`.
        case bareWord
        /// In an argument of a known or unknown magic.
        case argument(of: String)
        /// In a body, a comment, or where nothing can be said.
        case nothing
    }

    let source: CellSource
    let place: Place
    /// The word around the cursor, up to the cursor and up to its end.
    let word: Range<Int>
    let wordEnd: Int
    /// Words of the magic's arguments that end before the current word.
    let before: [String]

    init(_ code: String, cursor: Int) {
        source = CellSource(code)
        let scalars = source.scalars
        let line = Self.logicalLine(of: source, at: cursor)
        var start = cursor
        while start > line.lowerBound, !scalars[start - 1].properties.isWhitespace || Self.isEscaped(scalars, start - 1) { start -= 1 }
        wordEnd = max(cursor, min(source.wordEnd(from: cursor), line.upperBound))
        word = start..<cursor
        var first = line.lowerBound
        while first < line.upperBound, scalars[first].properties.isWhitespace { first += 1 }
        let text = source.text(min(first, cursor)..<cursor)
        if Self.isInBody(source, at: cursor) || first > cursor && source.text(line).contains(where: { !$0.isWhitespace }) {
            (place, before) = (.nothing, [])
        } else if text.hasPrefix("%") || text.hasPrefix("?") {
            let marker = text.prefix { $0 == "%" || $0 == "?" }
            let nameEnd = min(source.wordEnd(from: first), line.upperBound)
            if cursor <= nameEnd {
                (place, before) = (.name(isCellMagic: marker == "%%"), [])
            } else {
                before = source.text(nameEnd..<start).split { $0.isWhitespace || $0 == "\\" }.map(String.init)
                place = .argument(of: source.text(first + marker.count..<nameEnd))
            }
        } else if !text.isEmpty, start == first, text.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }) {
            (place, before) = (.bareWord, [])
        } else {
            (place, before) = (text.isEmpty ? .bareWord : .nothing, [])
        }
    }

    /// The line at a place together with the lines it joins by `\`.
    private static func logicalLine(of source: CellSource, at offset: Int) -> Range<Int> {
        var first = source.lineIndex(at: offset)
        var last = first
        func joinsNext(_ index: Int) -> Bool { source.lines[index].last.map { source.scalars[$0] } == "\\" }
        while first > 0, joinsNext(first - 1) { first -= 1 }
        while last + 1 < source.lines.count, joinsNext(last) { last += 1 }
        return source.lines[first].lowerBound..<source.lines[last].upperBound
    }

    /// A blank after a backslash belongs to its word.
    private static func isEscaped(_ scalars: [Unicode.Scalar], _ index: Int) -> Bool {
        index > 0 && scalars[index] != "\n" && scalars[index - 1] == "\\"
    }

    /// Whether a cell magic's line stands above.
    private static func isInBody(_ source: CellSource, at offset: Int) -> Bool {
        for index in 0..<source.lineIndex(at: offset) {
            let text = source.text(source.trimmedLine(index))
            if text.hasPrefix("%%") { return true }
            if !text.isEmpty, !text.hasPrefix("#"), !text.hasPrefix("//") { return false }
        }
        return false
    }

    /// The text of the word up to the cursor.
    var typed: String { source.text(word) }
}
