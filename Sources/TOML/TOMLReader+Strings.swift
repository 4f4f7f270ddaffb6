extension TOMLReader {
    /// `"…"` on one line.
    mutating func basicString() throws(TOMLError) -> String {
        var text = String.UnicodeScalarView()
        advance()
        while let scalar = next, scalar.isPrintable {
            if take("\"") { return String(text) }
            text.append(scalar == "\\" ? try escape() : scalar)
            if scalar != "\\" { advance() }
        }
        throw unexpected("“\"” at the end of the text on the same line")
    }

    /// `'…'` on one line, nothing in it escaped.
    mutating func literalString() throws(TOMLError) -> String {
        advance()
        let text = word { $0.isPrintable && $0 != "'" }
        try expect("'", "“'” at the end of the text on the same line")
        return text
    }

    /// `"""…"""` over several lines.
    mutating func multilineBasicString() throws(TOMLError) -> String {
        try multiline("\"") { reader, text throws(TOMLError) in
            guard reader.next == "\\" else { return false }
            if !reader.skipJoinedLines() { text.append(try reader.escape()) }
            return true
        }
    }

    /// `'''…'''` over several lines.
    mutating func multilineLiteralString() throws(TOMLError) -> String { try multiline("'") { _, _ in false } }

    /// - Parameter special: reads what is no plain scalar, or says that there is none.
    private mutating func multiline(
        _ quote: Unicode.Scalar, special: (inout TOMLReader, inout String.UnicodeScalarView) throws(TOMLError) -> Bool
    ) throws(TOMLError) -> String {
        let start = place, end = String(repeating: Character(quote), count: 3)
        var text = String.UnicodeScalarView()
        advance(by: 3)
        _ = takeNewline()                                                           // one right after the quotes does not count
        while let scalar = next {
            if starts(with: end) {
                advance(by: 3)
                for _ in 0..<2 where take(quote) { text.append(quote) }             // up to two quotes may stand before the end
                return String(text)
            }
            if takeNewline() {
                text.append("\n")
            } else if try !special(&self, &text) {
                guard scalar.isPrintable else { throw unexpected("text without control characters") }
                text.append(scalar)
                advance()
            }
        }
        throw error("this text is never closed: \(end) is missing", at: start)
    }

    /// `\` at the end of a line takes away that end and the blanks and ends of lines that follow.
    /// - Returns: whether there was one; otherwise the reader has not moved.
    private mutating func skipJoinedLines() -> Bool {
        var ahead = self
        ahead.advance()
        ahead.skipBlanks()
        guard ahead.takeNewline() else { return false }
        repeat { ahead.skipBlanks() } while ahead.takeNewline()
        self = ahead
        return true
    }

    /// `\n`, `\u00E9` and so on, from the backslash.
    private mutating func escape() throws(TOMLError) -> Unicode.Scalar {
        let start = place
        advance()
        guard let letter = next else { throw error("the text ends after “\\”", at: start) }
        advance()
        switch letter {
        case "b": return "\u{8}"
        case "t": return "\t"
        case "n": return "\n"
        case "f": return "\u{C}"
        case "r": return "\r"
        case "\"", "\\": return letter
        case "u": return try codePoint(digits: 4, start)
        case "U": return try codePoint(digits: 8, start)
        default:
            throw error("“\\\(letter.isPrintable ? String(letter) : letter.codePoint)” stands for nothing; write \\\\ for a backslash, or the text in single quotes", at: start)
        }
    }

    private mutating func codePoint(digits: Int, _ start: Place) throws(TOMLError) -> Unicode.Scalar {
        let first = position
        while position < first + digits, let scalar = next, scalar.properties.isASCIIHexDigit { advance() }
        guard position == first + digits, let value = UInt32(text(first..<position), radix: 16), let scalar = Unicode.Scalar(value) else {
            throw error("expected \(digits) hexadecimal digits of a Unicode scalar, found “\(text(start.position..<position))”", at: start)
        }
        return scalar
    }
}
