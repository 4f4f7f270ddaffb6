/// Learns a CLIP vocabulary from texts.
///
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

    public var vocabulary: CLIPVocabulary { CLIPVocabulary(merges: merges) }
}
