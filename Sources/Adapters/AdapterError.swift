import Checkpoints

/// An adapter could not be made, placed or read.
public enum AdapterError: Error, Equatable, Sendable {
    /// A rank outside what can be trained; `nearest` is inside.
    case rankOutOfRange(Int, allowed: ClosedRange<Int>, nearest: Int)
    /// An alpha that is not a positive finite number.
    case invalidAlpha(Float)
    /// Neither UNet nor text encoder was asked for, or the model has no layer that the rules name.
    case noTargets
    /// A file without one pair of LoRA matrices.
    case notAnAdapter(file: String, found: String)
    /// A file of another adapter type.
    case unsupportedType(String, file: String)
    /// A module's matrices that do not fit each other.
    case malformedModule(key: String, reason: String, file: String)
    /// Modules that the model has no layer for: the first few, and how many there are.
    case unknownModules([String], count: Int, file: String)
    /// A module whose sizes do not fit the model's layer.
    case sizeMismatch(key: String, expected: [Int], found: [Int], file: String)
    case checkpoint(CheckpointError)
}

extension AdapterError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .rankOutOfRange(let rank, let allowed, let nearest):
            "rank \(rank) is outside \(allowed.lowerBound)…\(allowed.upperBound); the nearest is \(nearest)"
        case .invalidAlpha(let alpha): "alpha \(alpha) is not a positive number; the rank or half of it is usual"
        case .noTargets: "there is no layer to adapt: ask for the UNet, the text encoder, or both"
        case .notAnAdapter(let file, let found): "\(file) holds no LoRA matrices: \(found)"
        case .unsupportedType(let type, let file): "\(file) is a \(type) adapter; LoRA is what can be read"
        case .malformedModule(let key, let reason, let file): "\(key) in \(file): \(reason)"
        case .unknownModules(let keys, let count, let file):
            "\(file) has \(count) module\(count == 1 ? "" : "s") that this model has no layer for: \(keys.joined(separator: ", "))\(count > keys.count ? " …" : "")"
        case .sizeMismatch(let key, let expected, let found, let file):
            "\(key) in \(file) adapts a layer of \(found[0]) inputs and \(found[1]) outputs; this model's has \(expected[0]) and \(expected[1])"
        case .checkpoint(let error): error.description
        }
    }

    /// What the user can do about it.
    public var wayOut: String {
        switch self {
        case .rankOutOfRange: "Ranks from 4 to 128 are usual; 8 to 64 suit most styles."
        case .invalidAlpha: "Leave alpha out to have it equal the rank."
        case .noTargets: "Set a learning rate above 0 for at least one of the two."
        case .notAnAdapter: "Give a LoRA file in Kohya's or PEFT's key names."
        case .unsupportedType: "Convert it to a LoRA with LyCORIS' tools (extract), or train one here."
        case .malformedModule: "The file is damaged or incomplete: fetch it again."
        case .unknownModules, .sizeMismatch: "The file was trained for another base model: load that model first."
        case .checkpoint(let error): error.wayOut
        }
    }
}
