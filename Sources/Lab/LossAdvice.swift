/// The guide's reading of a loss curve, for models of Stable Diffusion's size.
///
/// Its numbers come from experience with those models' latents and do not carry over to others: the small embedded model learns at other losses,
/// so there the advice says only why it is silent.
package struct LossAdvice: Sendable, Equatable {
    /// Losses between which the guide expects the best epochs.
    package static let band = 0.07...0.09
    /// A fall from the first to the second number or lower within `steepEpochs` means that the learning rate is too high.
    package static let steep = (from: 0.1, to: 0.06)
    package static let steepEpochs = 2

    /// Epochs (from 1) whose mean loss lies inside the band.
    package var inside: [Int]
    /// The epochs between which the loss fell too fast.
    package var steepFall: ClosedRange<Int>?
    /// Whether the guide's numbers mean anything for the model.
    package var applies: Bool

    /// - Parameters:
    ///   - epochLosses: mean loss of each epoch, from the first.
    ///   - applies: whether the model is of Stable Diffusion's size.
    package init(epochLosses: [Double], applies: Bool) {
        self.applies = applies
        guard applies else {
            (inside, steepFall) = ([], nil)
            return
        }
        inside = epochLosses.indices.filter { Self.band.contains(epochLosses[$0]) }.map { $0 + 1 }
        steepFall = epochLosses.indices.lazy.compactMap { end -> ClosedRange<Int>? in
            let starts = max(0, end - Self.steepEpochs)..<end
            guard epochLosses[end] <= Self.steep.to, let start = starts.last(where: { epochLosses[$0] >= Self.steep.from }) else { return nil }
            return start + 1...end + 1
        }.first
    }

    /// What to tell after a run, a sentence each.
    package var sentences: [String] {
        guard applies else { return ["The guide's loss band 0.07–0.09 is for models of Stable Diffusion's size; here compare the held-out loss and the samples."] }
        var said: [String] = []
        if !inside.isEmpty {
            let names = inside.map(String.init).joined(separator: ", ")
            said.append("Inside the guide's loss band 0.07–0.09: epoch\(inside.count == 1 ? "" : "s") \(names). Compare them with %sample --epochs \(inside.map(String.init).joined(separator: ",")).")
        }
        if let fall = steepFall {
            said.append("The loss fell from 0.1 to 0.06 within epochs \(fall.lowerBound)–\(fall.upperBound): too fast, details are being learned by heart. Halve the learning rate, or lower the rank.")
        }
        return said
    }
}
