import Checkpoints
import Neural

/// A file of weights cannot be used as the base model, or as the part, that it was given for, or no longer.
public enum ModelFileError: Error, Equatable, Sendable {
    /// It is something else: `found` names it ("a LoRA adapter").
    case somethingElse(file: String, found: String, wayOut: String)
    /// It is a model of the right kind without this part.
    case missingPart(String, file: String, wayOut: String)
    /// Its tensors differ from the architecture at this key.
    case unexpectedArchitecture(key: String, found: String, expected: String, file: String)
    /// Tensors do not tell how many heads an attention has, and the family's rule does not fit.
    case unknownHeads(channels: Int, rule: String, file: String)
    case noTokenizer(file: String, lookedIn: [String])
    /// A file of a model in use is no longer what was loaded; `how` says what has changed.
    case changed(file: String, how: String, wayOut: String)
}

extension ModelFileError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .somethingElse(let file, let found, _): "\(file) is \(found), not a base model of Stable Diffusion 1, 2 or XL"
        case .missingPart(let part, let file, _): "\(file) has no \(part)"
        case .unexpectedArchitecture(let key, let found, let expected, let file):
            "\(file) is not built like Stable Diffusion 1, 2 or XL: \(key) is \(found), expected \(expected)"
        case .unknownHeads(let channels, let rule, let file):
            "\(file) does not say how many attention heads its layers of \(channels) channels have, and the family's rule (\(rule)) does not fit them"
        case .noTokenizer(let file, let places):
            "\(file) comes without its tokenizer (vocab.json and merges.txt), and there is none in " + places.joined(separator: ", ")
        case .changed(let file, let how, _): "\(file) has changed since the model was loaded: \(how)"
        }
    }

    /// What the user can do about it, one sentence.
    public var wayOut: String {
        switch self {
        case .somethingElse(_, _, let wayOut), .missingPart(_, _, let wayOut), .changed(_, _, let wayOut): wayOut
        case .unexpectedArchitecture: "Use the original release or a fine-tuned model of it; pruned and distilled ones differ in their layers."
        case .unknownHeads: "Give the folder of a diffusers release whose config.json files describe the model, as its configuration."
        case .noTokenizer: "Run `loralab fetch-vocabulary` once, or put a tokenizer/ folder with both files beside the model."
        }
    }
}

extension Registry {
    /// Requires that a model's files are still those that were loaded.
    ///
    /// - Parameter wayOut: how this model is loaded again, one sentence.
    func requireUnchanged(wayOut: String) throws(ModelFileError) {
        do throws(CheckpointError) { try requireUnchanged() } catch {
            guard case .changed(let file, let how) = error else { preconditionFailure("unexpected \(error)") }
            throw .changed(file: file, how: how, wayOut: wayOut)
        }
    }
}
