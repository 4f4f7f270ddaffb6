/// Weights written into prompts, as SD WebUI reads them: `(word)` counts 1.1 times, `[word]` 1/1.1, `(word:1.3)` 1.3 times,
/// nested ones multiply, and `BREAK` starts a new chunk.
///
/// `\(`, `\)`, `\[`, `\]` and `\\` are the characters themselves. A bracket that is never closed counts for the rest, one that
/// was never opened is text. Source: `parse_prompt_attention` of SD WebUI's `prompt_parser.py`, whose result this is, with
/// three differences where that one fails or takes too long: a number that is none (`:1.2.3`) is text, brackets nested deeper
/// than `deepest` weigh nothing more, and no weight goes beyond ±`largest`.
public enum PromptWeights {
    /// A stretch of text with one weight.
    public struct Segment: Sendable, Equatable {
        public var text: String
        public var weight: Double

        public init(_ text: String, _ weight: Double) {
            self.text = text
            self.weight = weight
        }

        /// Where a new chunk starts. Inside brackets the word is text, there as here: its weight is another.
        public var isBreak: Bool { weight == Self.breakWeight && text == Self.breakWord }

        static let breakWord = "BREAK", breakWeight = -1.0
    }

    static let roundBracket = 1.1, squareBracket = 1 / 1.1
    /// Bounds the work: each bracket multiplies what it holds.
    static let deepest = 100
    static let largest = 1e6

    /// Segments in order, neighbours of one weight joined; at least one. Takes time in proportion to the prompt's length.
    public static func parse(_ prompt: String) -> [Segment] {
        var reader = Reader(Array(prompt.unicodeScalars))
        reader.run()
        var segments: [Segment] = []
        var start = 0
        for (index, piece) in reader.pieces.enumerated() {
            let weight = bounded(piece.weight), next = reader.pieces.indices.contains(index + 1) ? bounded(reader.pieces[index + 1].weight) : .nan
            guard weight != next else { continue }
            segments.append(Segment(String(reader.written[start..<piece.end]), weight))
            start = piece.end
        }
        return segments.isEmpty ? [Segment("", 1)] : segments
    }

    private static func bounded(_ weight: Double) -> Double { max(-largest, min(largest, weight)) }

    /// One pass over the prompt. Round and square brackets are matched apart, so that they may cross.
    private struct Reader {
        let text: [Unicode.Scalar]
        var position = 0
        /// What is left of the text without its marks.
        var written: [Unicode.Scalar] = []
        /// Stretches of it, each from the end of the one before.
        var pieces: [(end: Int, weight: Double)] = []
        /// Where in `pieces` the open brackets begin.
        var round: [Int] = [], square: [Int] = []

        init(_ text: [Unicode.Scalar]) { self.text = text }

        mutating func run() {
            while position < text.count {
                switch text[position] {
                case "\\": readEscape()
                case "(": open(\.round)
                case "[": open(\.square)
                case ")": close(\.round, weight: roundBracket)
                case "]": close(\.square, weight: squareBracket)
                case ":": readColon()
                default: readText()
                }
            }
            for (depth, start) in round.enumerated() { multiply(from: start, by: roundBracket, depth: depth) }
            for (depth, start) in square.enumerated() { multiply(from: start, by: squareBracket, depth: depth) }
        }

        private mutating func write(_ text: ArraySlice<Unicode.Scalar>, weight: Double = 1) {
            written.append(contentsOf: text)
            pieces.append((written.count, weight))
        }

        private mutating func readEscape() {
            let next = position + 1 < text.count ? text[position + 1] : " "
            let isEscaped = Self.isMark(next) && next != ":"
            write(isEscaped ? text[(position + 1)...(position + 1)] : [])
            position += isEscaped ? 2 : 1
        }

        private mutating func open(_ stack: WritableKeyPath<Reader, [Int]>) {
            self[keyPath: stack].append(pieces.count)
            position += 1
        }

        private mutating func close(_ stack: WritableKeyPath<Reader, [Int]>, weight: Double) {
            if let start = self[keyPath: stack].popLast() {
                multiply(from: start, by: weight, depth: self[keyPath: stack].count)
            } else {
                write(text[position...position])
            }
            position += 1
        }

        /// `: number )` closes a round bracket with its weight; any other colon is text.
        private mutating func readColon() {
            guard let (weight, end) = closingWeight() else {
                write(text[position...position])
                position += 1
                return
            }
            if let start = round.popLast() { multiply(from: start, by: weight, depth: round.count) } else {
                write(text[position..<end])
            }
            position = end
        }

        private func closingWeight() -> (weight: Double, end: Int)? {
            var end = position + 1, digits = ""
            func skipSpaces() -> Int { text[end...].firstIndex { !PythonText.isSpace($0) } ?? text.count }
            end = skipSpaces()
            if end < text.count, text[end] == "+" || text[end] == "-" {
                digits.unicodeScalars.append(text[end])
                end += 1
            }
            while end < text.count, let digit = Self.digitOrPoint(text[end]) {
                digits.unicodeScalars.append(digit)
                end += 1
            }
            end = skipSpaces()
            guard end < text.count, text[end] == ")", let weight = PythonText.number(digits), weight.isFinite else { return nil }
            return (weight, end + 1)
        }

        private static func digitOrPoint(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
            if scalar == "." || ("0"..."9").contains(scalar) { return scalar }
            guard scalar.properties.generalCategory == .decimalNumber, let value = scalar.properties.numericValue else { return nil }
            return Unicode.Scalar(UInt8(0x30 + Int(value)))
        }

        private mutating func readText() {
            let end = text[position...].firstIndex(where: Self.isMark) ?? text.count
            for (index, part) in Self.splitAtBreaks(text[position..<end]).enumerated() {
                if index > 0 { write(Self.breakWord[...], weight: Segment.breakWeight) }
                write(part)
            }
            position = end
        }

        private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar {
            case "\\", "(", ")", "[", "]", ":": true
            default: false
            }
        }

        private static let breakWord = Array(Segment.breakWord.unicodeScalars)

        /// Cut at every `BREAK` that stands as a word, without the white space around it.
        private static func splitAtBreaks(_ text: ArraySlice<Unicode.Scalar>) -> [ArraySlice<Unicode.Scalar>] {
            var parts: [ArraySlice<Unicode.Scalar>] = []
            var start = text.startIndex, position = start
            while position < text.endIndex {
                let end = position + breakWord.count
                let isBreak = text[position] == breakWord[0] && text[position...].starts(with: breakWord)
                    && (position == text.startIndex || !PythonText.isWord(text[position - 1]))
                    && (end == text.endIndex || !PythonText.isWord(text[end]))
                guard isBreak else {
                    position += 1
                    continue
                }
                let before = text[start..<position].lastIndex { !PythonText.isSpace($0) }.map { $0 + 1 } ?? start
                parts.append(text[start..<before])
                start = text[end...].firstIndex { !PythonText.isSpace($0) } ?? text.endIndex
                position = start
            }
            return parts + [text[start...]]
        }

        private mutating func multiply(from start: Int, by weight: Double, depth: Int) {
            guard depth < deepest else { return }
            for index in start..<max(start, pieces.count) { pieces[index].weight *= weight }
        }
    }
}

/// Python's classes of characters and its reading of numbers, by which SD WebUI's rules are defined.
enum PythonText {
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool { ScalarClass(scalar) == .space || (0x1C...0x1F).contains(scalar.value) }

    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        switch ScalarClass(scalar) {
        case .letter, .number: true
        default: scalar == "_"
        }
    }

    /// A sign, digits and one point at most, as `float` takes them: "1.", ".5" and "+2" count.
    static func number(_ text: String) -> Double? {
        let body = text.drop { $0 == "+" || $0 == "-" }
        guard body.contains(where: \.isNumber), body.count(where: { $0 == "." }) <= 1 else { return nil }
        guard let value = Double(body.hasPrefix(".") ? "0" + body : body.hasSuffix(".") ? body + "0" : String(body)) else { return nil }
        return text.hasPrefix("-") ? -value : value
    }
}
