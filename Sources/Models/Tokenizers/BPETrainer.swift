import Foundation

/// Learns a CLIP vocabulary from texts and writes it in CLIP's files.
///
/// Vocabulary order is CLIP's: 256 byte symbols, the same with `</w>`, one entry a merge, then the two special tokens.
/// Source: Sennrich et al., arXiv:1508.07909, algorithm 1; ties go to the pair that comes first in symbol order, so that the
/// result is the same everywhere.
public struct BPETrainer {
    /// Pairs joined, best first.
    public private(set) var merges: [(String, String)] = []

    /// - Parameter mergeLimit: at most so many; training ends earlier when every word is one symbol.
    public init(texts: some Sequence<String>, mergeLimit: Int) {
        var words = Self.countWords(texts)
        while merges.count < mergeLimit, let pair = Self.mostFrequentPair(words) {
            merges.append(pair)
            for index in words.indices { words[index].join(pair) }
        }
    }

    private struct Word {
        var symbols: [String]
        let count: Int

        mutating func join(_ pair: (String, String)) {
            guard symbols.count > 1 else { return }
            var joined: [String] = []
            var position = 0
            while position < symbols.count {
                if position + 1 < symbols.count, symbols[position] == pair.0, symbols[position + 1] == pair.1 {
                    joined.append(pair.0 + pair.1)
                    position += 2
                } else {
                    joined.append(symbols[position])
                    position += 1
                }
            }
            symbols = joined
        }
    }

    private static func countWords(_ texts: some Sequence<String>) -> [Word] {
        var counts: [String: Int] = [:]
        for text in texts {
            for word in CLIPText.words(CLIPText.cleaned(text.unicodeScalars)[...]) { counts[String(word), default: 0] += 1 }
        }
        return counts.sorted { $0.key < $1.key }.map { word, count in
            var symbols = word.utf8.map { String(ByteAlphabet.symbols[Int($0)]) }
            symbols[symbols.count - 1] += "</w>"
            return Word(symbols: symbols, count: count)
        }
    }

    private static func mostFrequentPair(_ words: [Word]) -> (String, String)? {
        struct Pair: Hashable { let left: String, right: String }
        var counts: [Pair: Int] = [:]
        for word in words {
            for (left, right) in zip(word.symbols, word.symbols.dropFirst()) { counts[Pair(left: left, right: right), default: 0] += word.count }
        }
        let best = counts.max { a, b in
            (a.value, b.key.left, b.key.right) < (b.value, a.key.left, a.key.right)
        }
        return best.map { ($0.key.left, $0.key.right) }
    }

    /// Tokens in the order of their ids.
    public var vocabulary: [String] {
        let symbols = ByteAlphabet.order.map { String(ByteAlphabet.symbols[Int($0)]) }
        return symbols + symbols.map { $0 + "</w>" } + merges.map { $0.0 + $0.1 } + [CLIPTokenizer.startToken, CLIPTokenizer.endToken]
    }

    /// Writes `vocab.json`, `merges.txt`, `tokenizer_config.json` and `special_tokens_map.json` into a folder, made where it is missing.
    public func write(folder: String, modelMaxLength: Int = 77) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        func write(_ text: String, _ name: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name), options: .atomic)
        }
        let entries = vocabulary.enumerated().map { "\(Self.quoted($0.element)): \($0.offset)" }
        try write("{" + entries.joined(separator: ", ") + "}", "vocab.json")
        try write((["#version: 0.2"] + merges.map { "\($0.0) \($0.1)" }).joined(separator: "\n") + "\n", "merges.txt")
        try write(Self.configuration(modelMaxLength: modelMaxLength), "tokenizer_config.json")
        try write(Self.specialTokensMap, "special_tokens_map.json")
    }

    /// A JSON string; of the vocabulary's characters only these two need escaping.
    private static func quoted(_ token: String) -> String {
        "\"" + token.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }

    private static func added(_ token: String) -> String {
        "{\"content\": \"\(token)\", \"lstrip\": false, \"normalized\": true, \"rstrip\": false, \"single_word\": false}"
    }

    private static var specialTokensMap: String {
        """
        {
          "bos_token": \(added(CLIPTokenizer.startToken)),
          "eos_token": \(added(CLIPTokenizer.endToken)),
          "pad_token": "\(CLIPTokenizer.endToken)",
          "unk_token": \(added(CLIPTokenizer.endToken))
        }

        """
    }

    private static func configuration(modelMaxLength: Int) -> String {
        func typed(_ token: String) -> String { "{\"__type\": \"AddedToken\", " + added(token).dropFirst() }
        return """
            {
              "add_prefix_space": false,
              "bos_token": \(typed(CLIPTokenizer.startToken)),
              "do_lower_case": true,
              "eos_token": \(typed(CLIPTokenizer.endToken)),
              "errors": "replace",
              "model_max_length": \(modelMaxLength),
              "pad_token": "\(CLIPTokenizer.endToken)",
              "tokenizer_class": "CLIPTokenizer",
              "unk_token": \(typed(CLIPTokenizer.endToken))
            }

            """
    }
}
