import Adapters
import Datasets
import Diffusion
import TensorCore

/// Training could not start or go on.
public enum TrainingError: Error, Equatable, Sendable {
    /// A setting outside its range. `setting` is the property's name in `TrainingConfiguration`.
    case invalidSetting(setting: String, value: String, allowed: String, nearest: String)
    /// Settings that contradict each other.
    case contradiction(String, wayOut: String)
    /// A bucket whose sides the model cannot take.
    case bucketDoesNotFit(PixelSize, multiple: Int)
    /// The run would take more memory than there is, bytes; `waysOut` are changes, each with those before it, and what it takes then.
    case doesNotFit(needed: Int, available: Int, waysOut: [String])
    /// An adapter of another type than the present one was asked for.
    case networkIsFixed(present: String, asked: String)
    /// A number that is not finite appeared; the adapter is as it was before that step.
    case notFinite(what: String, step: Int)
    /// The device that trains failed during a step.
    case deviceFailed(DeviceFailure, step: Int)
    /// A saved state that cannot be continued from.
    case invalidState(file: String, reason: String)
    /// A saved state of other pictures or another model.
    case otherState(file: String, what: String, saved: String, present: String)
}

extension TrainingError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidSetting(let setting, let value, let allowed, let nearest): "\(setting) = \(value): allowed is \(allowed); the nearest is \(nearest)"
        case .contradiction(let what, _): what
        case .bucketDoesNotFit(let size, let multiple): "a bucket of \(size) pixels does not fit the model: sides must be multiples of \(multiple)"
        case .doesNotFit(let needed, let available, _):
            "a step would take about \(Self.gibibytes(needed)) GiB of memory, and \(Self.gibibytes(available)) GiB can be had"
        case .networkIsFixed(let present, let asked): "the adapter in training is a \(present); it cannot become a \(asked)"
        case .notFinite(let what, let step): "\(what) is not a finite number in step \(step); training has stopped, and the adapter is as it was before that step"
        case .deviceFailed(let failure, let step): "\(failure); training has stopped in step \(step)"
        case .invalidState(let file, let reason): "\(file) is no training state to continue from: \(reason)"
        case .otherState(let file, let what, let saved, let present): "\(file) belongs to another run: its \(what) is \(saved), here it is \(present)"
        }
    }

    private static func gibibytes(_ bytes: Int) -> Double { (Double(bytes) / Double(1 << 30) * 10).rounded() / 10 }

    /// What the user can do about it.
    public var wayOut: String {
        switch self {
        case .invalidSetting: "Give a value inside the range."
        case .contradiction(_, let wayOut): wayOut
        case .bucketDoesNotFit(_, let multiple): "Choose a resolution and a bucket step that are multiples of \(multiple)."
        case .doesNotFit(_, _, let waysOut): waysOut.isEmpty ? "Close other programs, or use a smaller model." : "Try \(waysOut.joined(separator: ", then "))."
        case .networkIsFixed: "Start a new one: %train --fresh."
        case .notFinite: "Lower the learning rate (a tenth of it is a good try) and go on from the last saved epoch."
        case .deviceFailed(let failure, _): failure.wayOut
        case .invalidState: "Start a new run, or name another state file."
        case .otherState: "Load the model and the data set of that run first, or start a new run."
        }
    }
}
