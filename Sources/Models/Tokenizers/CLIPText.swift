/// CLIP's cleanup and split of a text into words, up to where byte pairs begin.
///
/// As transformers' fast CLIPTokenizer does it (5.23, `tokenization_clip.py`): NFC, runs of white space to one space, lower
/// case, then the split rule below. Before version 5 there was a slow class too, which mended broken encodings with ftfy or,
/// where that was missing, put spaces around Chinese characters; version 5 has this way only, ftfy or not.
enum CLIPText {
    static func cleaned(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        var followsSpace = false
        for scalar in UnicodeText.composed(Array(text)) {
            let isSpace = ScalarClass(scalar) == .space
            if !isSpace { result.append(scalar) } else if !followsSpace { result.append(" ") }
            followsSpace = isSpace
        }
        return UnicodeText.lowercased(result)
    }

    /// Special tokens' own spelling | contractions | runs of letters | single digits | runs of anything else but white space.
    static func words(_ text: ArraySlice<Unicode.Scalar>) -> [ArraySlice<Unicode.Scalar>] {
        var words: [ArraySlice<Unicode.Scalar>] = []
        var position = text.startIndex
        while position < text.endIndex {
            let first = ScalarClass(text[position])
            var end = position + 1
            switch first {
            case .space:
                position = end
                continue
            case .number: break
            case .letter:
                while end < text.endIndex, ScalarClass(text[end]) == .letter { end += 1 }
            case .other:
                if let parts = specialParts(text[position...]) {
                    words.append(contentsOf: parts)
                    position = parts[parts.count - 1].endIndex
                    continue
                }
                if let length = contractionLength(text[position...]) { end = position + length } else {
                    while end < text.endIndex, ScalarClass(text[end]) == .other { end += 1 }
                }
            }
            words.append(text[position..<end])
            position = end
        }
        return words
    }

    private static let specials = [CLIPTokenizer.startToken, CLIPTokenizer.endToken].map { Array($0.unicodeScalars) }

    /// A special token's name that was not written exactly ("<|EndOfText|>") is text, but it ends where the name ends:
    /// "<|", the letters, "|>".
    private static func specialParts(_ text: ArraySlice<Unicode.Scalar>) -> [ArraySlice<Unicode.Scalar>]? {
        guard text.first == "<", let count = specials.first(where: { text.starts(with: $0) })?.count else { return nil }
        let (start, end) = (text.startIndex, text.startIndex + count)
        return [text[start..<(start + 2)], text[(start + 2)..<(end - 2)], text[(end - 2)..<end]]
    }

    private static let contractions: [[Unicode.Scalar]] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map { Array($0.unicodeScalars) }

    private static func contractionLength(_ text: ArraySlice<Unicode.Scalar>) -> Int? {
        guard text.first == "'" else { return nil }
        return contractions.first { text.starts(with: $0) }?.count
    }
}
