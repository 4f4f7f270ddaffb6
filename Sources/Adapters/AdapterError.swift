import Checkpoints

/// An adapter could not be made, placed or read.
public enum AdapterError: Error, Equatable, Sendable {
    /// A rank outside what can be trained; `nearest` is inside.
    case rankOutOfRange(Int, allowed: ClosedRange<Int>, nearest: Int)
    /// An alpha that is not a positive finite number.
    case invalidAlpha(Float)
    /// Ranks of a unit must divide the rank.
    case unitDoesNotDivide(unit: Int, rank: Int)
    /// Neither UNet nor text encoder was asked for, or the model has no layer that the rules name.
    case noTargets
    /// `path:strength:strength` with an empty path, or a strength that is not finite.
    case invalidReference(String)
    /// A file without one adapter module.
    case notAnAdapter(file: String, found: String)
    /// The rank of such an adapter cannot be changed.
    case rankIsFixed(AdapterKind)
    /// A module's matrices that do not fit each other.
    case malformedModule(key: String, reason: String, file: String)
    /// Keys of no known adapter: the first few, how many there are, and what the file seems to be.
    case unknownKeys([String], count: Int, seems: String?, file: String)
    /// PEFT's description of the adapter cannot be read.
    case malformedConfiguration(reason: String, file: String)
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
        case .invalidReference(let text): "\(text) names no adapter file with its strengths"
        case .notAnAdapter(let file, let found): "\(file) holds no adapter: \(found)"
        case .rankIsFixed(let kind): "the rank of a \(kind.rawValue) adapter cannot be changed: its factors are no thin product"
        case .unknownKeys(let keys, let count, let seems, let file):
            "\(file) has \(count) key\(count == 1 ? "" : "s") of no known adapter: \(keys.joined(separator: ", "))\(count > keys.count ? " …" : "")\(seems.map { "; it seems to be \($0)" } ?? "")"
        case .malformedConfiguration(let reason, let file): "the description of the adapter in \(file): \(reason)"
        case .unitDoesNotDivide(let unit, let rank): "DyLoRA's unit \(unit) does not divide the rank \(rank)"
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
        case .unitDoesNotDivide: "Give a unit that divides the rank: 1, 2 or 4 usually."
        case .invalidReference: "Write the file's path, then :0.8 for both strengths or :0.5:0.3 for UNet and text encoder."
        case .notAnAdapter, .unknownKeys: "Give an adapter of Stable Diffusion 1, 2 or XL in the names of Kohya's scripts, LyCORIS, PEFT or diffusers."
        case .rankIsFixed: "Leave rank and alpha as they are, or start a new adapter: %train --fresh."
        case .malformedModule, .malformedConfiguration: "The file is damaged or incomplete: fetch it again."
        case .unknownModules, .sizeMismatch: "The file was trained for another base model: load that model first."
        case .checkpoint(let error): error.wayOut
        }
    }
}
