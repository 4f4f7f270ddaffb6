/// A word of a magic's arguments, with quotes and backslashes resolved.
struct ArgumentWord: Equatable {
    var text: String
    /// Where it stands in the arguments, in Unicode code points, quotes included.
    var range: Range<Int>
    /// Whether it starts with a quote: then it is a value even if it looks like `--option`.
    var isQuoted: Bool
}

/// Splits arguments as a POSIX shell does (IPython's magics use Python's `shlex`): blanks separate, `'single'` quotes keep everything,
/// `"double"` quotes keep everything but `\"` and `\\`, a backslash keeps the next character and joins lines at a line's end.
///
/// One difference: an apostrophe between two letters (`don't`) is a letter, so that prompts need no quoting.
struct ArgumentSplitter {
    private let scalars: [Unicode.Scalar]
    private var position = 0

    init(_ arguments: String) { scalars = Array(arguments.unicodeScalars) }

    /// All words.
    /// - Throws: `ArgumentFault` when a quote is not closed.
    static func words(of arguments: String) throws(ArgumentFault) -> [ArgumentWord] {
        var splitter = ArgumentSplitter(arguments)
        var words: [ArgumentWord] = []
        while let word = try splitter.next() { words.append(word) }
        return words
    }

    private mutating func next() throws(ArgumentFault) -> ArgumentWord? {
        skipBlanks()
        guard position < scalars.count else { return nil }
        let start = position
        var text = String.UnicodeScalarView()
        while position < scalars.count, !scalars[position].properties.isWhitespace {
            let scalar = scalars[position]
            switch scalar {
            case "\\":
                if isLineJoin(at: position) { return word(text, from: start) }
                position += 1
                text.append(position < scalars.count ? scalars[position] : "\\")
                position += 1
            case "'" where isApostrophe(at: position):
                text.append(scalar)
                position += 1
            case "'", "\"":
                try readQuoted(by: scalar, into: &text)
            default:
                text.append(scalar)
                position += 1
            }
        }
        return word(text, from: start)
    }

    private func word(_ text: String.UnicodeScalarView, from start: Int) -> ArgumentWord {
        ArgumentWord(text: String(text), range: start..<min(position, scalars.count), isQuoted: scalars[start] == "'" || scalars[start] == "\"")
    }

    private mutating func readQuoted(by quote: Unicode.Scalar, into text: inout String.UnicodeScalarView) throws(ArgumentFault) {
        let open = position
        position += 1
        while position < scalars.count, scalars[position] != quote {
            let escapes = quote == "\"" && scalars[position] == "\\" && position + 1 < scalars.count
            if escapes, scalars[position + 1] == "\"" || scalars[position + 1] == "\\" { position += 1 }
            text.append(scalars[position])
            position += 1
        }
        guard position < scalars.count else {
            throw ArgumentFault(
                MagicError("the quotation mark \(quote) is never closed", hint: "Close it, or write \\\(quote) for the character itself."), open..<scalars.count)
        }
        position += 1
    }

    private mutating func skipBlanks() {
        while position < scalars.count {
            if scalars[position].properties.isWhitespace {
                position += 1
            } else if isLineJoin(at: position) {
                position += 2
            } else {
                return
            }
        }
    }

    private func isLineJoin(at index: Int) -> Bool {
        scalars[index] == "\\" && index + 1 < scalars.count && scalars[index + 1] == "\n"
    }

    private func isApostrophe(at index: Int) -> Bool {
        index > 0 && index + 1 < scalars.count && scalars[index - 1].properties.isAlphabetic && scalars[index + 1].properties.isAlphabetic
    }
}

/// A mistake in the arguments of a magic and where it stands (code points within the arguments).
struct ArgumentFault: Error {
    var error: MagicError
    var range: Range<Int>?

    init(_ error: MagicError, _ range: Range<Int>?) {
        self.error = error
        self.range = range
    }
}
