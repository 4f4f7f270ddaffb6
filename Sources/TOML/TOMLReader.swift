extension TOMLTable {
    /// Reads a document of TOML 1.0.0. Whatever the text is, it ends with a table or an error.
    ///
    /// - Parameter firstLine: the number of the text's first line, for a text that is a part of another.
    /// - Throws: `TOMLError` for anything that the specification does not allow, and for tables and arrays more than 100 deep.
    public init(_ text: String, firstLine: Int = 1) throws(TOMLError) { try self.init(utf8: Array(text.utf8), firstLine: firstLine) }

    /// The same for the bytes of a file.
    public init(utf8 bytes: [UInt8], firstLine: Int = 1) throws(TOMLError) {
        var reader = try TOMLReader(bytes, firstLine: firstLine)
        self = try reader.document()
    }
}

/// Goes through a text once, from front to back.
struct TOMLReader {
    /// Where something stands.
    struct Place {
        let line: Int, lineStart: Int, position: Int
    }

    /// Tables and arrays inside each other; recursion goes no deeper. The limit is ours.
    static let maximumDepth = 100

    private let scalars: [Unicode.Scalar]
    private(set) var position = 0
    private var line: Int, lineStart = 0

    init(_ bytes: [UInt8], firstLine: Int) throws(TOMLError) {
        line = firstLine
        var decoder = UTF8(), iterator = bytes.makeIterator(), scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(bytes.count)
        decoding: while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): scalars.append(scalar)
            case .emptyInput: break decoding
            case .error:
                self.scalars = scalars
                while position < scalars.count { if !takeNewline() { position += 1 } }
                throw error("the text is not UTF-8 from here on")
            }
        }
        self.scalars = scalars
    }

    // MARK: The document

    mutating func document() throws(TOMLError) -> TOMLTable {
        if take("\u{FEFF}") { lineStart = position }                                // a byte order mark
        let root = TOMLNode(.header)
        var current = root, depth = 0
        while true {
            skipBlanks()
            switch next {
            case nil: return root.table
            case "#", "\n", "\r": break
            case "[": (current, depth) = try header(root)
            default: try keyValue(into: current, depth: depth)
            }
            try endLine()
        }
    }

    /// `[a.b]` or `[[a.b]]`.
    private mutating func header(_ root: TOMLNode) throws(TOMLError) -> (TOMLNode, depth: Int) {
        let start = place
        advance()
        let isElement = take("[")
        let path = try keyPath(depth: 0)
        try expect("]", "“]” after the table's name")
        if isElement { try expect("]", "a second “]” after the table's name") }
        let node = try resolved(at: start) { () throws(TOMLNode.Conflict) in
            try isElement ? root.element(path, line: start.line) : root.header(path, line: start.line)
        }
        return (node, path.count)
    }

    /// `a.b = value`.
    private mutating func keyValue(into node: TOMLNode, depth: Int) throws(TOMLError) {
        let start = place
        let path = try keyPath(depth: depth)
        try expect("=", "“=” after the key")
        skipBlanks()
        let value = try value(depth: depth + path.count)
        try resolved(at: start) { () throws(TOMLNode.Conflict) in try node.set(path, to: value, line: start.line) }
    }

    private func resolved<R>(at start: Place, _ body: () throws(TOMLNode.Conflict) -> R) throws(TOMLError) -> R {
        do { return try body() } catch { throw self.error(error.reason, at: start) }
    }

    /// The parts of a dotted key, blanks around them skipped.
    private mutating func keyPath(depth: Int) throws(TOMLError) -> [String] {
        var path: [String] = []
        repeat {
            skipBlanks()
            try requireDepth(depth + path.count)
            path.append(try key())
            skipBlanks()
        } while take(".")
        return path
    }

    private mutating func key() throws(TOMLError) -> String {
        switch next {
        case "\"": return try basicString()
        case "'": return try literalString()
        case let scalar? where scalar.isBareKey: return word { $0.isBareKey }
        default: throw unexpected("a key (letters, digits, - and _, or any text in quotes)")
        }
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(TOMLError) -> TOMLValue {
        try requireDepth(depth)
        switch next {
        case "\"": return .string(try starts(with: "\"\"\"") ? multilineBasicString() : basicString())
        case "'": return .string(try starts(with: "'''") ? multilineLiteralString() : literalString())
        case "[": return .array(try array(depth: depth + 1))
        case "{": return .table(try inlineTable(depth: depth))
        default: return try scalarValue()
        }
    }

    private mutating func array(depth: Int) throws(TOMLError) -> [TOMLValue] {
        let start = place
        var elements: [TOMLValue] = []
        advance()
        while true {
            try skipLines()
            if take("]") { return elements }
            guard next != nil else { throw error("this “[” is never closed", at: start) }
            elements.append(try value(depth: depth))
            try skipLines()
            guard take(",") || next == "]" || next == nil else { throw unexpected("“,” or “]” after a value of the list") }
        }
    }

    private mutating func inlineTable(depth: Int) throws(TOMLError) -> TOMLTable {
        let node = TOMLNode(.header)
        advance()
        skipBlanks()
        if take("}") { return node.table }
        repeat {
            skipBlanks()
            try keyValue(into: node, depth: depth)
            skipBlanks()
        } while take(",")
        try expect("}", "“,” or “}” on the same line")
        return node.table
    }

    // MARK: Steps

    var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    var place: Place { Place(line: line, lineStart: lineStart, position: position) }

    func starts(with text: String) -> Bool { scalars[position...].starts(with: text.unicodeScalars) }

    /// Steps over a scalar that does not end a line.
    mutating func advance(by count: Int = 1) { position = min(position + count, scalars.count) }

    /// Steps over one scalar, if it is this one.
    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        advance()
        return true
    }

    mutating func expect(_ scalar: Unicode.Scalar, _ expected: String) throws(TOMLError) {
        guard take(scalar) else { throw unexpected(expected) }
    }

    /// Steps over scalars of one kind and returns them.
    mutating func word(_ belongs: (Unicode.Scalar) -> Bool) -> String {
        let start = position
        while let scalar = next, belongs(scalar) { advance() }
        return text(start..<position)
    }

    /// The only step over the end of a line: ␊ or ␍␊.
    mutating func takeNewline() -> Bool {
        let length = next == "\n" ? 1 : starts(with: "\r\n") ? 2 : 0
        guard length > 0 else { return false }
        advance(by: length)
        (line, lineStart) = (line + 1, position)
        return true
    }

    mutating func skipBlanks() { while next == " " || next == "\t" { advance() } }

    /// A comment, if there is one, and the end of the line or text.
    private mutating func endLine() throws(TOMLError) {
        try skipComment()
        guard takeNewline() || next == nil else { throw unexpected("the end of the line") }
    }

    /// Blanks, comments and ends of lines, between the values of a list.
    private mutating func skipLines() throws(TOMLError) {
        repeat { try skipComment() } while takeNewline()
    }

    private mutating func skipComment() throws(TOMLError) {
        skipBlanks()
        guard take("#") else { return }
        while let scalar = next, scalar.isPrintable { advance() }
        guard next == nil || next == "\n" || starts(with: "\r\n") else { throw unexpected("text without control characters in a comment") }
    }

    private func requireDepth(_ depth: Int) throws(TOMLError) {
        guard depth <= Self.maximumDepth else { throw error("tables and lists stand more than \(Self.maximumDepth) deep in each other") }
    }

    func text(_ range: Range<Int>) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[range])
        return String(text)
    }

    // MARK: Errors

    func error(_ reason: String, at place: Place? = nil) -> TOMLError {
        let place = place ?? self.place
        let rest = scalars[min(place.lineStart, scalars.count)...].prefix(160)
        let end = rest.firstIndex { $0 == "\n" || $0 == "\r" } ?? rest.endIndex
        return TOMLError(line: place.line, column: place.position - place.lineStart + 1, reason: reason, text: text(rest.startIndex..<end))
    }

    func unexpected(_ expected: String) -> TOMLError { error("expected \(expected), found \(found)") }

    /// What stands here, in words.
    private var found: String {
        switch next {
        case nil: "the end of the text"
        case "\n": "the end of the line"
        case let scalar? where !scalar.isPrintable: "the control character \(scalar.codePoint)"
        case let scalar?: "“\(scalar)”"
        }
    }
}

extension Unicode.Scalar {
    /// What comments and text may hold on one line: everything but control characters; a tab is none.
    var isPrintable: Bool { value >= 0x20 && value != 0x7F || self == "\t" }

    /// `U+0007`.
    var codePoint: String { "U+" + String(String(0x1_0000 + value, radix: 16, uppercase: true).suffix(4)) }
}
