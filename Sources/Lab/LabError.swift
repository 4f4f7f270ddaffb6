/// What the session cannot do in the state it is in, with the way out.
public enum LabError: Error, Equatable, Sendable {
    case embeddedModelMissing(places: [String])
    case noModel
    case noDataset
    case noAdapter
    case noRun
    case busy(with: String, cell: Int)
    case epochNotKept(String, kept: [Int])
    case promptTooLong(characters: Int, limit: Int)
    case noPrompt
    case unknownPicture(String, nearest: String?)
    case notWritable(path: String, reason: String)
    case notReadable(path: String, reason: String)
    case tooManyPictures(asked: Int, limit: Int)
    /// Lines are those of the cell.
    case toml(String, line: Int?, column: Int?)
    case unknownKey(String, nearest: String?)
    case invalid(String, wayOut: String)
}

extension LabError: CustomStringConvertible {
    /// What is wrong, one sentence.
    public var description: String {
        switch self {
        case .embeddedModelMissing(let places): "the embedded model was not found in \(places.joined(separator: " or "))"
        case .noModel: "no base model is loaded"
        case .noDataset: "no dataset is loaded"
        case .noAdapter: "there is no adapter: nothing has been trained or loaded"
        case .noRun: "there is no training run to show"
        case .busy(let work, let cell): "cell [\(cell)] is still at work on %\(work)"
        case .epochNotKept(let epoch, let kept):
            "no adapter was kept for epoch \(epoch); kept: \(kept.isEmpty ? "none" : kept.map(String.init).joined(separator: ", "))"
        case .promptTooLong(let characters, let limit): "the prompt has \(characters) characters; at most \(limit) are read"
        case .noPrompt: "there is no prompt to draw"
        case .unknownPicture(let name, _): "the dataset has no picture “\(name)”"
        case .notWritable(let path, let reason): "\(path) cannot be written: \(reason)"
        case .notReadable(let path, let reason): "\(path) cannot be read: \(reason)"
        case .tooManyPictures(let asked, let limit): "that makes \(asked) pictures; at most \(limit) are drawn by one cell"
        case .toml(let reason, let line, let column):
            "the TOML cannot be read\(line.map { " (line \($0)\(column.map { ", column \($0)" } ?? ""))" } ?? ""): \(reason)"
        case .unknownKey(let key, _): "there is no setting “\(key)”"
        case .invalid(let message, _): message
        }
    }

    /// What to do about it, if something can be named.
    public var wayOut: String? {
        switch self {
        case .embeddedModelMissing: "Build again with `make demo`, or set \(EmbeddedModel.variable) to a folder in diffusers' layout."
        case .noModel: "Load one first: %model (the embedded one) or %model PATH."
        case .noDataset: "Load one first: %dataset PATH."
        case .noAdapter: "Train one with %train, or load one with %load PATH."
        case .noRun: "Start one with %train."
        case .busy: "Wait for it, or interrupt it; %set and %status work meanwhile."
        case .epochNotKept: "0 is the base model; %status lists what was kept, and --save_every_n_epochs says how often that happens."
        case .promptTooLong: "Say what matters first; a picture follows the first few hundred characters."
        case .noPrompt: "Write one after %sample, or one a line below %%sample."
        case .unknownPicture(_, let nearest): nearest.map { "Did you mean \($0)?" } ?? "%caption show lists them."
        case .notWritable: "Choose a folder that you may write to."
        case .notReadable: nil
        case .tooManyPictures: "Ask for fewer prompts, epochs or strengths."
        case .toml: "Kohya's files look like: learning_rate = 1e-4"
        case .unknownKey(_, let nearest): nearest.map { "Did you mean \($0)?" } ?? "%help train lists them."
        case .invalid(_, let wayOut): wayOut
        }
    }
}
