import Foundation
import Synchronization

/// Byte-pair tokenizer of CLIP: text to ids of `[BOS] words [EOS] padding`, and back.
///
/// Gives the ids of transformers' CLIPTokenizer for the same files, special tokens written in the text included.
/// Source: Sennrich et al., arXiv:1508.07909; Radford et al., arXiv:2103.00020.
public final class CLIPTokenizer: Sendable {
    public let modelMaxLength: Int
    public let startID: Int, endID: Int, padID: Int
    public var vocabularySize: Int { tokens.count }

    /// Written form of each id; a hole in the numbering is an empty string.
    private let tokens: [String]
    /// Ids of each byte's symbol inside a word and at its end.
    private let inner: [Int32], final: [Int32]
    /// Key of a pair of ids → rank and id of the merged symbol.
    private let merges: [UInt64: Merge]
    /// Texts that are one token wherever they stand: the padding's as it is written, start and end after the cleanup (so that
    /// "<|StartOfText|>" counts too) unless they are the padding. As transformers reads the published tokenizers' settings.
    private let exactSpecials: [Special], cleanedSpecials: [Special]
    private let cache = Mutex<[String: [Int32]]>([:])

    private struct Special { let text: [Unicode.Scalar], id: Int }
    private struct Merge { var rank: Int32, id: Int32 }
    private static let cacheLimit = 50_000

    public static let startToken = "<|startoftext|>", endToken = "<|endoftext|>"

    /// - Parameters:
    ///   - vocabulary: path of vocab.json: token → id.
    ///   - merges: path of merges.txt: a header line, then one pair of symbols a line, best first.
    ///   - padToken: "<|endoftext|>" for SD 1.x, "!" for SD 2.x and SDXL's second encoder.
    public init(
        vocabulary vocabularyPath: String, merges mergesPath: String, modelMaxLength: Int = 77, padToken: String = CLIPTokenizer.endToken
    ) throws(TokenizerError) {
        let ids = try Self.readVocabulary(vocabularyPath)
        func id(_ token: String) throws(TokenizerError) -> Int {
            guard let id = ids[token] else { throw .missingToken(path: vocabularyPath, token: token) }
            return id
        }
        self.modelMaxLength = modelMaxLength
        (startID, endID, padID) = (try id(Self.startToken), try id(Self.endToken), try id(padToken))

        var tokens = [String](repeating: "", count: (ids.values.max() ?? -1) + 1)
        for (token, id) in ids { tokens[id] = token }
        self.tokens = tokens

        var inner: [Int32] = [], final: [Int32] = []
        for symbol in ByteAlphabet.symbols {
            inner.append(Int32(try id(String(symbol))))
            final.append(Int32(try id(String(symbol) + "</w>")))
        }
        (self.inner, self.final) = (inner, final)
        merges = try Self.readMerges(mergesPath, ids: ids, vocabularyPath: vocabularyPath)
        func special(_ text: String) throws(TokenizerError) -> Special { Special(text: Array(text.unicodeScalars), id: try id(text)) }
        exactSpecials = padToken.isEmpty ? [] : [try special(padToken)]
        cleanedSpecials = (padToken == Self.startToken ? [] : [try special(Self.startToken)])
            + (padToken == Self.endToken ? [] : [try special(Self.endToken)])
    }

    /// Reads `vocab.json`, `merges.txt` and, where it is there, `tokenizer_config.json` (and `special_tokens_map.json`) of a folder.
    public convenience init(folder: String) throws(TokenizerError) {
        let configuration = try TokenizerConfiguration(folder: folder)
        try self.init(
            vocabulary: folder + "/vocab.json", merges: folder + "/merges.txt",
            modelMaxLength: configuration.modelMaxLength ?? 77, padToken: configuration.padToken ?? Self.endToken)
    }

    // MARK: Encoding

    /// Ids of exactly `length` places (`modelMaxLength` unless given): start, words as far as they fit, end, padding.
    public func encode(_ text: String, length: Int? = nil) -> [Int] {
        let length = length ?? modelMaxLength
        precondition(length >= 2, "a sequence needs room for its start and its end, not \(length) places")
        let words = tokenize(text).prefix(length - 2)
        return [startID] + words + [endID] + [Int](repeating: padID, count: length - 2 - words.count)
    }

    /// Ids of the text alone: no start, no end, no limit.
    public func tokenize(_ text: String) -> [Int] {
        var ids: [Int] = []
        Self.split(Array(text.unicodeScalars), at: exactSpecials, ids: &ids) { part, ids in
            Self.split(CLIPText.cleaned(part), at: cleanedSpecials, ids: &ids) { words, ids in append(words, to: &ids) }
        }
        return ids
    }

    /// A long caption as chunks of `modelMaxLength` ids for the text encoder, the caption cut blindly at every 75th token.
    ///
    /// - Parameter maximumTokens: Kohya's `max_token_length`: 75, 150 or 225.
    /// Source: sd-scripts' `get_input_ids`; reference §2.2.
    public func encodeChunks(_ text: String, maximumTokens: Int) -> [[Int]] {
        let body = modelMaxLength - 2
        precondition(maximumTokens >= body && maximumTokens % body == 0, "\(maximumTokens) tokens are not a multiple of \(body)")
        let ids = encode(text, length: maximumTokens + 2)
        guard maximumTokens > body else { return [ids] }
        return stride(from: 1, to: ids.count - 1, by: body).map { start in
            var chunk = [startID] + ids[start..<(start + body)] + [ids[ids.count - 1]]
            if padID != endID {
                if chunk[body] != endID && chunk[body] != padID { chunk[body + 1] = endID }
                if chunk[1] == padID { chunk[1] = endID }
            }
            return chunk
        }
    }

    /// Cuts a text at special tokens, whose ids are appended as they come; `body` sees the parts between.
    private static func split(
        _ text: [Unicode.Scalar], at specials: [Special], ids: inout [Int], _ body: (ArraySlice<Unicode.Scalar>, inout [Int]) -> Void
    ) {
        var start = 0, position = 0
        while position < text.count {
            if let special = specials.first(where: { text[position] == $0.text[0] && text[position...].starts(with: $0.text) }) {
                body(text[start..<position], &ids)
                ids.append(special.id)
                position += special.text.count
                start = position
            } else {
                position += 1
            }
        }
        body(text[start...], &ids)
    }

    private func append(_ text: ArraySlice<Unicode.Scalar>, to ids: inout [Int]) {
        for word in CLIPText.words(text) { ids.append(contentsOf: pieces(String(word)).lazy.map { Int($0) }) }
    }

    /// Ids of one word, remembered.
    private func pieces(_ word: String) -> [Int32] {
        if let known = cache.withLock({ $0[word] }) { return known }
        let pieces = merged(Array(word.utf8))
        cache.withLock { if $0.count < Self.cacheLimit { $0[word] = pieces } }
        return pieces
    }

    /// Byte symbols joined pair by pair, the pair of lowest rank first and of equals the leftmost.
    ///
    /// The heap holds every pair once it comes up; a pair that has changed since is known by its ids and left out. So a word
    /// of N bytes costs N log N, and a text without a single space is no danger.
    private func merged(_ bytes: [UInt8]) -> [Int32] {
        var symbols = bytes.map { inner[Int($0)] }
        symbols[bytes.count - 1] = final[Int(bytes[bytes.count - 1])]
        var next = Array(1...bytes.count), previous = Array(-1..<(bytes.count - 1))
        var heap = PairHeap()

        func push(_ left: Int) {
            guard left >= 0, next[left] < bytes.count else { return }
            let pair = Self.key(symbols[left], symbols[next[left]])
            if let merge = merges[pair] { heap.push(.init(rank: merge.rank, left: Int32(left), pair: pair)) }
        }
        for left in 0..<(bytes.count - 1) { push(left) }

        while let best = heap.pop() {
            let left = Int(best.left), right = next[left]
            guard symbols[left] >= 0, right < bytes.count, Self.key(symbols[left], symbols[right]) == best.pair,
                let merge = merges[best.pair]
            else { continue }
            symbols[left] = merge.id
            symbols[right] = -1                                // swallowed
            next[left] = next[right]
            if next[right] < bytes.count { previous[next[right]] = left }
            push(previous[left])
            push(left)
        }
        return symbols.filter { $0 >= 0 }
    }

    @inline(__always) private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    // MARK: Decoding

    /// The text of ids, words separated by one space; bytes that are no UTF-8 become U+FFFD.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool = true) -> String {
        let special: Set = [startID, endID, padID]
        var bytes: [UInt8] = []
        for id in ids where tokens.indices.contains(id) && !(skippingSpecialTokens && special.contains(id)) {
            let scalars = tokens[id].unicodeScalars
            let mapped = scalars.compactMap { ByteAlphabet.bytes[$0] }
            bytes.append(contentsOf: mapped.count == scalars.count ? mapped : Array(tokens[id].utf8))
        }
        return Self.spaced(bytes)
    }

    /// The text with every word's end a space. Done on bytes: a combining mark after an end would hide it from a search in a String.
    private static func spaced(_ bytes: [UInt8]) -> String {
        let wordEnd = Array("</w>".utf8)
        var result: [UInt8] = []
        var position = 0
        while position < bytes.count {
            let isEnd = bytes[position...].starts(with: wordEnd)
            result.append(isEnd ? 0x20 : bytes[position])
            position += isEnd ? wordEnd.count : 1
        }
        return UnicodeText.trimmed(String(decoding: result, as: UTF8.self))
    }

    /// Written form of an id, `</w>` at a word's end; nil outside the vocabulary.
    public func token(_ id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }
}

// MARK: - Files

extension CLIPTokenizer {
    private static func readVocabulary(_ path: String) throws(TokenizerError) -> [String: Int] {
        let data = try readTokenizerFile(path)
        let ids: [String: Int]
        do { ids = try JSONDecoder().decode([String: Int].self, from: data) } catch {
            throw .malformed(path: path, line: nil, expected: "one JSON object of tokens and whole numbers", found: "\(error)")
        }
        let limit = 2 * ids.count + 1_000_000
        guard let bad = ids.first(where: { !(0..<limit).contains($0.value) }) else { return ids }
        throw .malformed(path: path, line: nil, expected: "ids from 0 to \(limit - 1)", found: "\"\(bad.key)\": \(bad.value)")
    }

    private static func readMerges(
        _ path: String, ids: [String: Int], vocabularyPath: String
    ) throws(TokenizerError) -> [UInt64: Merge] {
        var result: [UInt64: Merge] = [:]
        var rank: Int32 = 0
        // Only a line feed ends a line: some symbols are characters that count as line ends elsewhere.
        for (number, line) in try readTokenizerFile(path).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let text = String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
            if text.isEmpty || number == 0 && text.hasPrefix("#version") { continue }
            let pair = text.split(separator: " ", omittingEmptySubsequences: false)
            guard pair.count == 2 else {
                throw .malformed(path: path, line: number + 1, expected: "two symbols separated by one space", found: "\"\(text)\"")
            }
            for symbol in [String(pair[0]), String(pair[1]), String(pair[0] + pair[1])] where ids[symbol] == nil {
                throw .missingToken(path: vocabularyPath, token: symbol)
            }
            guard let left = ids[String(pair[0])], let right = ids[String(pair[1])], let id = ids[String(pair[0] + pair[1])] else { continue }
            result[key(Int32(left), Int32(right))] = Merge(rank: rank, id: Int32(id))
            rank += 1
        }
        return result
    }
}

/// What a tokenizer folder says beside its vocabulary.
struct TokenizerConfiguration {
    var modelMaxLength: Int?
    var padToken: String?

    /// A token is a string or an object with its `content`.
    private struct Token: Decodable {
        let content: String
        private enum Key: String, CodingKey { case content }
        init(from decoder: any Decoder) throws {
            if let text = try? decoder.singleValueContainer().decode(String.self) { content = text } else {
                content = try decoder.container(keyedBy: Key.self).decode(String.self, forKey: .content)
            }
        }
    }
    private struct File: Decodable {
        let model_max_length: Double?                          // transformers writes 1e30 for "none"
        let pad_token: Token?
    }

    init(folder: String) throws(TokenizerError) {
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let path = folder + "/" + name
            guard FileManager.default.fileExists(atPath: path) else { continue }
            let data = try readTokenizerFile(path)
            do {
                let file = try JSONDecoder().decode(File.self, from: data)
                if let length = file.model_max_length, (2...1_000_000).contains(length) { modelMaxLength = Int(length) }
                padToken = file.pad_token?.content ?? padToken
            } catch {
                throw .malformed(path: path, line: nil, expected: "a tokenizer's settings in JSON", found: "\(error)")
            }
        }
    }
}

/// A binary heap of candidate merges, the lowest rank on top, then the leftmost.
private struct PairHeap {
    struct Pair {
        var rank: Int32, left: Int32, pair: UInt64
        @inline(__always) func comes(before other: Pair) -> Bool { (rank, left) < (other.rank, other.left) }
    }
    private var items: [Pair] = []

    mutating func push(_ pair: Pair) {
        items.append(pair)
        var child = items.count - 1
        while child > 0, items[child].comes(before: items[(child - 1) / 2]) {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Pair? {
        guard let top = items.first else { return nil }
        let last = items.removeLast()
        guard !items.isEmpty else { return top }
        items[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].comes(before: items[best]) { best = child }
            guard best != parent else { return top }
            items.swapAt(parent, best)
            parent = best
        }
    }
}
