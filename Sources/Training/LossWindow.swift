/// The displayed loss: the mean over a window of exactly one epoch, each slot overwritten when its step comes round again
/// (sd-scripts `LossRecorder`).
struct LossWindow: Codable, Sendable, Equatable {
    private var slots: [Float] = []

    /// - Parameters:
    ///   - index: the update's place in its epoch, from 0.
    ///   - length: updates in an epoch; slots beyond it are dropped when epochs become shorter.
    mutating func record(_ loss: Float, at index: Int, of length: Int) {
        if slots.count > length { slots.removeLast(slots.count - length) }
        if index < slots.count { slots[index] = loss } else { slots.append(loss) }
    }

    var mean: Float { slots.isEmpty ? 0 : Float(slots.reduce(0.0) { $0 + Double($1) } / Double(slots.count)) }
}
