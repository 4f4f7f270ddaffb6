import TensorCore

/// What the denoiser is told of texts.
public struct TextStates: Sendable {
    /// `[B, T, D]`.
    public let context: Tensor
    /// `[B, P]`; nil for models without a pooled vector.
    public let pooled: Tensor?

    public init(context: Tensor, pooled: Tensor? = nil) { (self.context, self.pooled) = (context, pooled) }

    /// Several texts' states in one batch; all contexts are equally long.
    public init(_ rows: [TextStates]) {
        let pooled = rows.compactMap(\.pooled)
        self.init(context: Tensor.concatenated(rows.map(\.context), axis: 0), pooled: pooled.isEmpty ? nil : Tensor.concatenated(pooled, axis: 0))
    }
}

/// Text states for prompts of any length, weighted where the prompt says so.
///
/// It knows one tokenizer and one encoder; SDXL takes two of them side by side.
public struct TextConditioning: Sendable {
    /// States `[N, 77, D]` of token rows `[N][77]`, and the pooled vector `[N, P]` of encoders that have one.
    public typealias Encode = @Sendable (_ ids: [[Int]]) -> (states: Tensor, pooled: Tensor?)

    public let tokenizer: CLIPTokenizer
    public let rule: PromptTokens.Rule
    private let encode: Encode

    public init(tokenizer: CLIPTokenizer, rule: PromptTokens.Rule, encode: @escaping Encode) {
        self.tokenizer = tokenizer
        self.rule = rule
        self.encode = encode
    }

    /// - Parameter clipSkip: n takes the n-th layer from the end, normalised; nil and 1 are the last one.
    public init(tokenizer: CLIPTokenizer, encoder: CLIPTextEncoder, clipSkip: Int? = nil, rule: PromptTokens.Rule) {
        self.init(tokenizer: tokenizer, rule: rule) { (encoder.encode($0, clipSkip: clipSkip), nil) }
    }

    /// The rows of prompts, equally many for each.
    public func tokens(_ prompts: [String]) -> [PromptTokens] {
        let tokens = prompts.map { PromptTokens($0, tokenizer: tokenizer, rule: rule) }
        let rows = tokens.map(\.ids.count).max() ?? 0
        return tokens.map { $0.padded(toRows: rows, tokenizer: tokenizer) }
    }

    /// Text states of prompts that are used together, the negative ones among them: all get the length of the longest.
    ///
    /// - Returns: context `[B, T, D]`: T is 77 for each of n rows by WebUI's rule, and 75n + 2 by Kohya's, which keeps the first
    ///   row's start and the last row's end only; pooled `[B, P]` of each prompt's first row, unweighted as in WebUI.
    ///   Source: reference §2.2; `get_hidden_states` of sd-scripts' `train_util.py`.
    public func callAsFunction(_ prompts: [String]) -> TextStates {
        precondition(!prompts.isEmpty, "no prompts to encode")
        let tokens = tokens(prompts), rows = tokens[0].ids.count
        let (plain, pooled) = encode(tokens.flatMap(\.ids))                       // [B · rows, 77, D]
        let weighted = PromptWeights.apply(tokens.flatMap(\.weights), to: plain)
        let states = (0..<prompts.count).map { joined(weighted.sliced(axis: 0, from: $0 * rows, to: ($0 + 1) * rows)) }
        let first = pooled.map { pooled in
            Tensor.concatenated((0..<prompts.count).map { pooled.sliced(axis: 0, from: $0 * rows, to: $0 * rows + 1) }, axis: 0)
        }
        return TextStates(context: Tensor.concatenated(states, axis: 0), pooled: first)
    }

    /// One prompt's rows behind one another: `[rows, 77, D]` → `[1, T, D]`.
    private func joined(_ rows: Tensor) -> Tensor {
        let count = rows.shape[0], length = rows.shape[1], width = rows.shape[2]
        let all = rows.reshaped([1, count * length, width])
        guard case .kohya = rule, count > 1 else { return all }
        let middles = (0..<count).map { all.sliced(axis: 1, from: $0 * length + 1, to: ($0 + 1) * length - 1) }
        let start = all.sliced(axis: 1, from: 0, to: 1), end = all.sliced(axis: 1, from: count * length - 1, to: count * length)
        return Tensor.concatenated([start] + middles + [end], axis: 1)
    }
}

extension PromptWeights {
    /// States times weights, each row then brought back to the mean it had: WebUI's "Original" emphasis.
    ///
    /// Rows without weights stay as they are, bit by bit. WebUI takes one mean for all the rows that it encodes together, which
    /// are the versions of one prompt; here a row depends on itself only. Nothing but drawing weighs words, so no gradient
    /// passes through the ratio of the means.
    ///
    /// - Parameters:
    ///   - weights: `[B][T]`.
    ///   - states: `[B, T, D]`.
    public static func apply(_ weights: [[Float]], to states: Tensor) -> Tensor {
        let length = states.shape[1]
        precondition(weights.count == states.shape[0] && weights.allSatisfy { $0.count == length },
            "weights of \(weights.map(\.count)) places for states \(states.shape)")
        guard weights.contains(where: isWeighted) else { return states }
        let rows = weights.enumerated().map { index, weights in
            let row = states.sliced(axis: 0, from: index, to: index + 1)
            guard isWeighted(weights) else { return row }
            let ratio = ratioOfMeans(weights, row)
            return row * Tensor(weights.map { Float(Double($0) * ratio) }, shape: [1, length, 1])
        }
        return Tensor.concatenated(rows, axis: 0)
    }

    /// The mean of a row `[1, T, D]` over its mean when weighted; 1 where that is zero, for nothing can bring back the mean of zeros.
    ///
    /// States cancel to a mean that may be 10⁴ times smaller than they are, so the sums are made in double precision: those in
    /// single precision leave three digits of the ratio, and other digits on each processor.
    private static func ratioOfMeans(_ weights: [Float], _ row: Tensor) -> Double {
        let width = row.shape[2], values = row.array
        var plain = 0.0, weighted = 0.0
        for (place, weight) in weights.enumerated() {
            let sum = values[place * width..<(place + 1) * width].reduce(0) { $0 + Double($1) }
            plain += sum
            weighted += Double(weight) * sum
        }
        return weighted == 0 ? 1 : plain / weighted
    }

    private static func isWeighted(_ weights: [Float]) -> Bool { weights.contains { $0 != 1 } }
}
