import Text

extension ValueKind {
    /// Reads and checks one value.
    /// - Parameters:
    ///   - text: as the user wrote it.
    ///   - name: how the message calls the value: `--rank`, `PATH`, `lr`.
    ///   - argument: the name in the specification, for the caret.
    /// - Throws: `MagicError` with the value, the allowed range and the nearest valid word.
    public func value(of text: String, named name: String, at argument: String? = nil) throws(MagicError) -> OptionValue {
        switch self {
        case .flag:
            if let isOn = Self.truth[text.lowercased()] { return .flag(isOn) }
        case .integer(let range):
            if let value = Self.wholeNumber(text), range.contains(value) { return .integer(value) }
        case .number(let range):
            if let value = Double(text), range.contains(value) { return .number(value) }
        case .text, .sentence:
            return .text(text)
        case .path:
            return .text(expandingHome(text))
        case .choice(let words):
            if let word = words.first(where: { normalizedName($0) == normalizedName(text) }) { return .text(word) }
            let nearest = nearestName(to: text, among: words)
            throw MagicError(
                "UsageError", "\(name) must be \(expectation), got \(quoted(text))", hint: nearest.map { "Did you mean \($0)?" }, at: argument)
        case .list(let element):
            var values: [OptionValue] = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                values.append(try element.value(of: trimmed(part), named: name, at: argument))
            }
            return .list(values)
        }
        throw MagicError("UsageError", "\(name) must be \(expectation), got \(quoted(text))", at: argument)
    }

    /// What is allowed, in words that follow "must be".
    public var expectation: String {
        switch self {
        case .flag: "true or false"
        case .integer(let range):
            if range == Int.min...Int.max {
                "a whole number"
            } else if range.upperBound == .max {
                "a whole number of at least \(range.lowerBound)"
            } else {
                "a whole number from \(range.lowerBound) to \(range.upperBound)"
            }
        case .number(let range): range.expectation
        case .text, .sentence: "text"
        case .choice(let words): words.count == 1 ? words[0] : "one of " + words.joined(separator: ", ")
        case .path(.folder): "a folder"
        case .path: "a path"
        case .list(let element): "\(element.expectation), or several separated by commas"
        }
    }

    /// The word that stands for the value in a usage line.
    var placeholder: String {
        switch self {
        case .flag: ""
        case .integer: "N"
        case .number: "X"
        case .text: "TEXT"
        case .sentence: "WORDS"
        case .choice(let words): words.joined(separator: "|").count <= 40 ? words.joined(separator: "|") : "WORD"
        case .path(.folder): "FOLDER"
        case .path: "PATH"
        case .list(let element): "\(element.placeholder),…"
        }
    }

    private static let truth = ["true": true, "yes": true, "on": true, "1": true, "false": false, "no": false, "off": false, "0": false]

    /// Reads `12`, and `1e3` or `12.0` when they are whole.
    private static func wholeNumber(_ text: String) -> Int? {
        Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
    }
}

extension NumberRange {
    var expectation: String {
        let low = lower == -.infinity ? nil : (lowerIsExclusive ? "above " : "of at least ") + plainNumber(lower)
        let high = upper == .infinity ? nil : (upperIsExclusive ? "below " : "of at most ") + plainNumber(upper)
        if let low, let high {
            return lowerIsExclusive || upperIsExclusive ? "a number \(low) and \(high)" : "a number from \(plainNumber(lower)) to \(plainNumber(upper))"
        }
        return ["a number", low ?? high].compactMap { $0 }.joined(separator: " ")
    }
}

/// `1` for 1.0, `0.5` for 0.5.
func plainNumber(_ x: Double) -> String {
    Int(exactly: x).map(String.init) ?? String(x)
}

/// The text in quotes, shortened to what fits a line.
func quoted(_ text: String) -> String {
    text.count <= 60 ? "“\(text)”" : "“\(text.prefix(57))…” (\(text.count) characters)"
}

func trimmed(_ text: some StringProtocol) -> String {
    let scalars = Array(text.unicodeScalars)
    guard let start = scalars.firstIndex(where: { !$0.properties.isWhitespace }) else { return "" }
    let end = scalars.lastIndex { !$0.properties.isWhitespace }!
    return String(String.UnicodeScalarView(scalars[start...end]))
}
