import Models
import TensorCore

/// Text states of captions, kept: for encoders that do not change.
struct TextContexts {
    private var states: [String: TextStates] = [:]
    private var key = Key()

    private struct Key: Equatable { var clipSkip: Int?, rows = 1 }

    /// More different captions than this (shuffled tags make many) start the collection anew.
    private static let capacity = 4096

    /// States of the captions, encoded without gradients.
    mutating func callAsFunction(_ captions: [String], model: DiffusionModel, clipSkip: Int?, rows: Int) -> TextStates {
        let asked = Key(clipSkip: clipSkip, rows: rows)
        if key != asked || states.count > Self.capacity { states = [:] }
        key = asked
        return withoutGradients {
            TextStates(captions.map { caption in
                if let known = states[caption] { return known }
                let encoded = model.base.condition([caption], clipSkip: clipSkip, reading: .captions(rows: rows))
                states[caption] = encoded
                return encoded
            })
        }
    }
}
