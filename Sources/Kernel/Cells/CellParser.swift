/// One thing a cell asks for, with its place in the source.
package enum CellStatement: Equatable {
    /// `%name arguments`, or `%%name arguments` with a body.
    case magic(MagicLine, body: MagicBodyText?)
    /// `%name?`, `?name`, `name??`.
    case help(topic: String, range: Range<Int>)
    /// `%` alone.
    case list
}

/// The first line of a magic. Offsets count Unicode code points from the start of the cell.
package struct MagicLine: Equatable {
    package var name: String
    /// From the `%` to the end of the name.
    package var nameRange: Range<Int>
    /// Everything after the name, line joins (`\` at a line's end) included.
    package var arguments: String
    package var argumentsOffset: Int
}

package struct MagicBodyText: Equatable {
    package var text: String
    /// Line of the cell where it starts, from 1.
    package var line: Int
}

/// A mistake in a cell, with the code points it concerns.
package struct CellFault: Error, Equatable {
    package var error: MagicError
    package var range: Range<Int>?
}

/// Takes a cell apart into statements: magics, questions for help, comments (`#` and `//`) and blank lines. Every statement keeps its source range.
///
/// A cell magic may follow comments and blank lines, but no other statement; its body is everything below its line, verbatim.
package struct CellParser {
    private let source: CellSource
    private var statements: [CellStatement] = []
    private var lineIndex = 0

    package init(_ code: String) { source = CellSource(code) }

    /// - Throws: `CellFault` for anything the kernel does not understand; then nothing of the cell is run.
    package static func parse(_ code: String) throws(CellFault) -> [CellStatement] {
        var parser = CellParser(code)
        while parser.lineIndex < parser.source.lines.count { try parser.parseLine() }
        return parser.statements
    }

    private mutating func parseLine() throws(CellFault) {
        let line = source.trimmedLine(lineIndex)
        lineIndex += 1
        let text = source.text(line)
        if text.isEmpty || text.hasPrefix("#") || text.hasPrefix("//") { return }
        if text.hasPrefix("%%"), text != "%%" {
            try parseCellMagic(at: line)
        } else if text.hasPrefix("%") {
            statements.append(parseMagicLine(at: line, marker: 1))
        } else if let topic = helpTopic(of: text) {
            statements.append(.help(topic: topic, range: line))
        } else {
            throw notUnderstood(text, line)
        }
    }

    private mutating func parseCellMagic(at line: Range<Int>) throws(CellFault) {
        guard statements.isEmpty else {
            let name = source.text(line.lowerBound..<source.wordEnd(from: line.lowerBound))
            throw CellFault(
                error: MagicError("SyntaxError", "the cell magic \(name) must be the first statement of its cell", hint: "Put it in a cell of its own: its body is everything below it."),
                range: line)
        }
        guard case .magic(let magic, _) = parseMagicLine(at: line, marker: 2) else {
            statements.append(parseMagicLine(at: line, marker: 2))
            return
        }
        let start = lineIndex < source.lines.count ? source.lines[lineIndex].lowerBound : source.scalars.count
        let body = MagicBodyText(text: source.text(start..<source.scalars.count), line: lineIndex + 1)
        statements.append(.magic(magic, body: body))
        lineIndex = source.lines.count
    }

    /// - Parameter marker: 1 for `%`, 2 for `%%`.
    private mutating func parseMagicLine(at line: Range<Int>, marker: Int) -> CellStatement {
        var end = line.upperBound
        while end > line.lowerBound, source.scalars[end - 1] == "\\", lineIndex < source.lines.count {
            end = source.trimmedLine(lineIndex).upperBound
            lineIndex += 1
        }
        let nameStart = line.lowerBound + marker
        let nameEnd = min(source.wordEnd(from: nameStart), end)
        let name = source.text(nameStart..<nameEnd)
        if name.isEmpty, nameEnd == end { return .list }
        if name.hasSuffix("?"), nameEnd == end { return .help(topic: String(name.prefix { $0 != "?" }), range: line) }
        let arguments = source.text(nameEnd..<end)
        return .magic(MagicLine(name: name, nameRange: line.lowerBound..<nameEnd, arguments: arguments, argumentsOffset: nameEnd), body: nil)
    }

    /// The name in `?name`, `??%name`, `name?`, `name??`.
    private func helpTopic(of text: String) -> String? {
        guard text.hasPrefix("?") || text.hasSuffix("?") else { return nil }
        let topic = text.drop { $0 == "?" || $0 == "%" }.prefix { $0 != "?" }
        let isName = topic.unicodeScalars.allSatisfy { $0.properties.isAlphabetic || $0.properties.numericType != nil || $0 == "_" || $0 == "-" || $0 == "." }
        return isName ? String(topic) : nil
    }

    private func notUnderstood(_ text: String, _ line: Range<Int>) -> CellFault {
        let word = String(text.prefix { $0.isLetter || $0.isNumber || $0 == "_" })
        let isAssignment = text.contains("= %")
        let hint =
            isAssignment
            ? "Magics have no value to assign; write the magic on a line of its own."
            : "A cell holds magics such as %help (%lsmagic lists them), one %%magic with its body, comments (# or //) and blank lines."
        return CellFault(error: MagicError("SyntaxError", "not understood: \(quoted(text))", hint: hint, at: word), range: line)
    }
}

/// A cell's text as code points and lines.
package struct CellSource {
    package let scalars: [Unicode.Scalar]
    /// Without their line ends.
    package let lines: [Range<Int>]

    package init(_ code: String) {
        scalars = Array(code.unicodeScalars)
        var lines: [Range<Int>] = []
        var start = 0
        for (index, scalar) in scalars.enumerated() where scalar == "\n" {
            lines.append(start..<index)
            start = index + 1
        }
        self.lines = lines + [start..<scalars.count]
    }

    package func text(_ range: Range<Int>) -> String { String(String.UnicodeScalarView(scalars[range])) }

    /// The line without blanks at both ends.
    func trimmedLine(_ index: Int) -> Range<Int> {
        var range = lines[index]
        while let first = range.first, scalars[first].properties.isWhitespace { range = first + 1..<range.upperBound }
        while let last = range.last, scalars[last].properties.isWhitespace { range = range.lowerBound..<last }
        return range
    }

    /// Where the word that starts at `offset` ends.
    func wordEnd(from offset: Int) -> Int {
        var end = offset
        while end < scalars.count, !scalars[end].properties.isWhitespace { end += 1 }
        return end
    }

    /// The line that holds a place, from 0.
    package func lineIndex(at offset: Int) -> Int { lines.lastIndex { $0.lowerBound <= offset } ?? 0 }
}
