import TensorCore

/// Text states of captions, kept: for an encoder that does not change.
struct TextContexts {
    private var states: [String: Tensor] = [:]
    private var clipSkip: Int?

    /// More different captions than this (shuffled tags make many) start the collection anew.
    private static let capacity = 4096

    /// States `[B, T, D]` of the captions, encoded without gradients.
    mutating func callAsFunction(_ captions: [String], model: DiffusionModel, clipSkip: Int?) -> Tensor {
        if self.clipSkip != clipSkip || states.count > Self.capacity { states = [:] }
        self.clipSkip = clipSkip
        let rows = captions.map { caption -> Tensor in
            if let known = states[caption] { return known }
            let encoded = withoutGradients { model.encode([caption], clipSkip: clipSkip) }
            states[caption] = encoded
            return encoded
        }
        return rows.count == 1 ? rows[0] : withoutGradients { Tensor.concatenated(rows, axis: 0) }
    }
}
