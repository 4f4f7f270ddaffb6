import Foundation

/// Uncased WordPiece tokenizer of BERT, as BLIP's captioner uses it.
///
/// Gives the ids of transformers' BertTokenizer for the same vocab.txt.
/// Source: Devlin et al., arXiv:1810.04805; Wu et al., arXiv:1609.08144 §4.1 for the pieces.
public final class BERTTokenizer: Sendable {
    public let padID: Int, unknownID: Int, classID: Int, separatorID: Int
    public var vocabularySize: Int { tokens.count }

    private let tokens: [String]
    /// Keyed by UTF-8: Swift's strings hold canonically equal texts for the same, a vocabulary does not.
    private let ids: [[UInt8]: Int]
    private let specials: [(text: [Unicode.Scalar], id: Int)]

    /// Longer words are unknown without a look at them.
    private static let longestWord = 100
    private static let specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    /// - Parameters:
    ///   - vocabulary: path of vocab.txt, one token a line, the line's number being its id.
    ///   - added: special tokens beyond the vocabulary, numbered on from its end: BLIP has `[DEC]` and `[ENC]`.
    public convenience init(vocabulary path: String, added: [String] = []) throws(TokenizerError) {
        var lines = try readTokenizerFile(path).split(separator: 0x0A, omittingEmptySubsequences: false).map { line in
            String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
        }
        if lines.last == "" { lines.removeLast() }
        try self.init(lines, path: path, added: added)
    }

    /// Reads `vocab.txt` of a folder or, where there is none, `tokenizer.json`, which transformers 5 writes in its place.
    public convenience init(folder: String, added: [String] = []) throws(TokenizerError) {
        let plain = folder + "/vocab.txt", whole = folder + "/tokenizer.json"
        if !FileManager.default.fileExists(atPath: plain), FileManager.default.fileExists(atPath: whole) {
            try self.init(Self.readWhole(whole), path: whole, added: added)
        } else {
            try self.init(vocabulary: plain, added: added)
        }
    }

    /// - Parameter lines: tokens by id; a hole in the numbering is an empty string.
    private init(_ lines: [String], path: String, added: [String]) throws(TokenizerError) {
        var lines = lines
        var ids: [[UInt8]: Int] = [:]
        for (id, line) in lines.enumerated() { ids[Array(line.utf8)] = id }
        for token in added where ids[Array(token.utf8)] == nil {
            ids[Array(token.utf8)] = lines.count
            lines.append(token)
        }
        func id(_ token: String) throws(TokenizerError) -> Int {
            guard let id = ids[Array(token.utf8)] else { throw .missingToken(path: path, token: token) }
            return id
        }
        (padID, unknownID, classID, separatorID) = (try id("[PAD]"), try id("[UNK]"), try id("[CLS]"), try id("[SEP]"))
        (tokens, self.ids) = (lines, ids)
        specials = (Self.specialTokens + added).compactMap { token in ids[Array(token.utf8)].map { (Array(token.unicodeScalars), $0) } }
    }

    /// The tokens of a `tokenizer.json`, those added to its vocabulary among them.
    private static func readWhole(_ path: String) throws(TokenizerError) -> [String] {
        struct File: Decodable { let model: Model, added_tokens: [Added]? }
        struct Model: Decodable { let type: String?, vocab: [String: Int] }
        struct Added: Decodable { let id: Int, content: String }
        let data = try readTokenizerFile(path), file: File
        do { file = try JSONDecoder().decode(File.self, from: data) } catch {
            throw .malformed(path: path, line: nil, expected: "a WordPiece tokenizer in JSON", found: "\(error)")
        }
        guard file.model.type == nil || file.model.type == "WordPiece" else {
            throw .malformed(path: path, line: nil, expected: "a WordPiece tokenizer", found: "one of type \(file.model.type ?? "")")
        }
        let entries = file.model.vocab.map { ($0.value, $0.key) } + (file.added_tokens ?? []).map { ($0.id, $0.content) }
        let limit = 2 * entries.count + 1_000_000
        if let bad = entries.first(where: { !(0..<limit).contains($0.0) }) {
            throw .malformed(path: path, line: nil, expected: "ids from 0 to \(limit - 1)", found: "\"\(bad.1)\": \(bad.0)")
        }
        var lines = [String](repeating: "", count: (entries.map(\.0).max() ?? -1) + 1)
        for (id, token) in entries { lines[id] = token }
        return lines
    }

    /// Id of a token written as in the vocabulary; nil where it is not in it.
    public func id(_ token: String) -> Int? { ids[Array(token.utf8)] }

    /// Written form of an id; nil outside the vocabulary.
    public func token(_ id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }

    // MARK: Encoding

    /// `[CLS] pieces [SEP]`, cut to `maximumLength` where one is given.
    public func encode(_ text: String, maximumLength: Int? = nil) -> [Int] {
        let pieces = tokenize(text)
        let kept = maximumLength.map { pieces.prefix(max($0 - 2, 0)) } ?? pieces[...]
        return [classID] + kept + [separatorID]
    }

    /// Ids of the text alone. Special tokens written in the text are themselves.
    public func tokenize(_ text: String) -> [Int] {
        let scalars = Array(text.unicodeScalars)
        var ids: [Int] = []
        var start = 0, position = 0
        while position < scalars.count {
            if scalars[position] == "[", let special = specials.first(where: { scalars[position...].starts(with: $0.text) }) {
                append(scalars[start..<position], to: &ids)
                ids.append(special.id)
                position += special.text.count
                start = position
            } else {
                position += 1
            }
        }
        append(scalars[start...], to: &ids)
        return ids
    }

    private func append(_ text: ArraySlice<Unicode.Scalar>, to ids: inout [Int]) {
        for word in BERTText.words(BERTText.cleaned(text)) { ids.append(contentsOf: pieces(word)) }
    }

    /// The longest piece of the vocabulary from the front, again and again; a word that leaves a rest is unknown as a whole.
    private func pieces(_ word: ArraySlice<Unicode.Scalar>) -> [Int] {
        guard word.count <= Self.longestWord else { return [unknownID] }
        var result: [Int] = []
        var start = word.startIndex
        while start < word.endIndex {
            let prefix: [UInt8] = start == word.startIndex ? [] : Array("##".utf8)
            var end = word.endIndex
            var found: Int?
            while end > start, found == nil {
                found = ids[prefix + Array(String(word[start..<end]).utf8)]
                if found == nil { end -= 1 }
            }
            guard let found else { return [unknownID] }
            result.append(found)
            start = end
        }
        return result
    }

    // MARK: Decoding

    /// Pieces joined to words, words by spaces, with the spaces before marks and contractions taken out.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool = true) -> String {
        let special = Set(specials.map(\.id))
        var text = ""
        for id in ids where tokens.indices.contains(id) && !(skippingSpecialTokens && special.contains(id)) {
            let token = tokens[id]
            if text.isEmpty { text = token } else if token.hasPrefix("##") { text += token.dropFirst(2) } else {
                text += Self.clinging.contains(token) ? token : " " + token
            }
        }
        return text
    }

    /// Tokens that follow without a space.
    private static let clinging: Set<String> = [".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"]
}

/// BERT's cleanup and split of a text into words, up to where pieces begin.
enum BERTText {
    /// Control characters out, white space to spaces, spaces around CJK ideographs, accents off, lower case.
    static func cleaned(_ text: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        for scalar in text where !isDropped(scalar) {
            if isSpace(scalar) { result.append(" ") } else if isIdeograph(scalar) { result += [" ", scalar, " "] } else { result.append(scalar) }
        }
        let bare = UnicodeText.decomposed(result).filter { $0.isASCII || $0.properties.generalCategory != .nonspacingMark }
        return UnicodeText.lowercased(bare)
    }

    /// Split at spaces; every punctuation mark is a word.
    static func words(_ text: [Unicode.Scalar]) -> [ArraySlice<Unicode.Scalar>] {
        text.split { isSpace($0) }.flatMap { run -> [ArraySlice<Unicode.Scalar>] in
            var words: [ArraySlice<Unicode.Scalar>] = []
            var start = run.startIndex
            for position in run.indices where isPunctuation(run[position]) {
                if start < position { words.append(run[start..<position]) }
                words.append(run[position...position])
                start = position + 1
            }
            if start < run.endIndex { words.append(run[start...]) }
            return words
        }
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { ScalarClass(scalar) == .space }

    private static func isDropped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\t", "\n", "\r": false
        case "\u{FFFD}": true
        default:
            switch scalar.properties.generalCategory {
            case .control, .format, .privateUse, .surrogate: true
            default: false
            }
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value > 0x20 && scalar.value < 0x7F && ScalarClass(scalar) == .other }
        switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation, .otherPunctuation:
            return true
        default: return false
        }
    }

    /// The blocks that BERT counts as Chinese characters.
    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B820...0x2CEAF, 0x2F800...0x2FA1F: true
        default: false
        }
    }
}

/// A small vocabulary for a captioner: the special tokens, every character so that nothing is unknown, and whole words.
public struct WordPieceVocabulary {
    /// Tokens in the order of their ids: `[PAD] [UNK] [CLS] [SEP] [MASK] [DEC] [ENC]`, characters, their `##` forms, words.
    public let tokens: [String]

    /// - Parameter minimumCount: rarer words are left to their characters.
    public init(texts: some Sequence<String>, minimumCount: Int = 1) {
        var counts: [String: Int] = [:]
        for text in texts {
            for word in BERTText.words(BERTText.cleaned(Array(text.unicodeScalars)[...])) { counts[String(word), default: 0] += 1 }
        }
        let printable = (0x21...0x7E).map { Unicode.Scalar(UInt8($0)) }.filter { !(0x41...0x5A).contains($0.value) }
        let characters = Set(printable).union(counts.keys.flatMap(\.unicodeScalars)).sorted().map { String($0) }
        let continuations = characters.filter { $0.unicodeScalars.allSatisfy { ScalarClass($0) == .letter || ScalarClass($0) == .number } }
        let words = counts.filter { $0.value >= minimumCount && $0.key.unicodeScalars.count > 1 }.keys
            .sorted { (-(counts[$0] ?? 0), $0) < (-(counts[$1] ?? 0), $1) }
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"] + characters + continuations.map { "##" + $0 } + words
    }

    /// Writes vocab.txt.
    public func write(to path: String) throws {
        try Data((tokens.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }
}
