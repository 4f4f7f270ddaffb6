/// A prompt of any length as rows for a text encoder of 77 places, with a weight for each place.
public struct PromptTokens: Sendable, Equatable {
    /// How a prompt becomes rows.
    public enum Rule: Sendable, Equatable {
        /// As sd-scripts trains: brackets are text, the caption is cut to `maximumTokens` (its `max_token_length`: 75, 150 or
        /// 225) and blindly at every 75th token. The number of rows is always the same.
        case kohya(maximumTokens: Int)
        /// As SD WebUI samples: brackets are weights (`PromptWeights`), `BREAK` starts a row, and a row that is full ends after
        /// its last comma where that lies within the last 20 tokens. As many rows as the prompt needs.
        case webUI
    }

    public let rule: Rule
    /// `[row][77]`: start, 75 tokens, end.
    public private(set) var ids: [[Int]]
    /// `[row][77]`, 1 where nothing is weighted.
    public private(set) var weights: [[Float]]

    /// WebUI's default for "comma padding backtrack".
    static let commaReach = 20

    public init(_ prompt: String, tokenizer: CLIPTokenizer, rule: Rule) {
        self.rule = rule
        switch rule {
        case .kohya(let maximumTokens):
            ids = tokenizer.encodeChunks(prompt, maximumTokens: maximumTokens)
            weights = ids.map { [Float](repeating: 1, count: $0.count) }
        case .webUI:
            var rows = RowBuilder(tokenizer)
            for segment in PromptWeights.parse(prompt) {
                if segment.isBreak { rows.finishRow() } else { rows.append(tokenizer.tokenize(segment.text), weight: Float(segment.weight)) }
            }
            rows.finish()
            (ids, weights) = (rows.ids, rows.weights)
        }
    }

    /// Whether any place has a weight other than 1.
    public var isWeighted: Bool { weights.contains { $0.contains { $0 != 1 } } }

    /// With rows that hold no text added, up to `count` rows: prompts that are sampled together need equally many.
    public func padded(toRows count: Int, tokenizer: CLIPTokenizer) -> PromptTokens {
        var result = self
        while result.ids.count < count {
            result.ids.append(tokenizer.encode(""))
            result.weights.append([Float](repeating: 1, count: tokenizer.modelMaxLength))
        }
        return result
    }

    /// Fills rows token by token. Source: `tokenize_line` and `process_tokens` of SD WebUI's `sd_hijack_clip.py`.
    private struct RowBuilder {
        let tokenizer: CLIPTokenizer
        let room: Int
        let comma: Int?
        var ids: [[Int]] = [], weights: [[Float]] = []
        private var row: [(id: Int, weight: Float)] = []
        private var lastComma: Int?

        init(_ tokenizer: CLIPTokenizer) {
            self.tokenizer = tokenizer
            room = tokenizer.modelMaxLength - 2
            let comma = tokenizer.tokenize(",")
            self.comma = comma.count == 1 ? comma[0] : nil
        }

        mutating func append(_ tokens: [Int], weight: Float) {
            for token in tokens {
                if token == comma { lastComma = row.count } else { carryOver() }
                if row.count == room { finishRow() }
                row.append((token, weight))
            }
        }

        /// Moves what follows the last comma of a full row to the next one.
        private mutating func carryOver() {
            guard row.count == room, let lastComma, row.count - lastComma <= commaReach else { return }
            let rest = Array(row[(lastComma + 1)...])
            row.removeSubrange((lastComma + 1)...)
            finishRow()
            row = rest
        }

        mutating func finishRow() {
            let unused = room - row.count
            // Everything after the first end is padding, an end that was written in the prompt included.
            var line = [tokenizer.startID] + row.map(\.id) + [Int](repeating: tokenizer.endID, count: unused + 1)
            let end = line.firstIndex(of: tokenizer.endID) ?? line.count - 1
            for place in line.indices.dropFirst(end + 1) where tokenizer.padID != tokenizer.endID { line[place] = tokenizer.padID }
            ids.append(line)
            weights.append([1] + row.map(\.weight) + [Float](repeating: 1, count: unused + 1))
            (row, lastComma) = ([], nil)
        }

        /// A prompt without tokens has one row; one that ends with `BREAK` has no empty row for it.
        mutating func finish() {
            if !row.isEmpty || ids.isEmpty { finishRow() }
        }
    }
}
