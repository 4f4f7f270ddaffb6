import Adapters
import Datasets
import Kernel
import TensorCore
import Training

/// What the session holds, as values: `%status` shows it, programs read it.
public struct StatusReport: Sendable {
    public var model: String?
    public var dataset: String?
    public var adapter: String?
    /// Updates and epochs done by the present trainer.
    public var steps = 0, epochs = 0
    public var keptEpochs: [Int] = []
    /// Held-out loss on fixed timesteps and noise, before the first step and last.
    public var firstLoss: Double?, lastLoss: Double?
    public var trainSeconds = 0.0
    public var settings: [String] = []
    /// What the present trainer is told.
    var configuration: TrainingConfiguration?
    /// Where the adapter was last written.
    public var lora: String?
    /// File names of the data set's pictures, for completion.
    public var pictureNames: [String] = []

    public init() {}

    init(_ session: Session) {
        model = session.model.map { "\($0.isEmbedded ? "the embedded one" : $0.location), \($0.family), \(Words.grouped($0.parameterCount)) parameters, \(Words.bytes($0.byteCount))" }
        dataset = session.dataset.map { set in
            let captioned = set.pictures.count(where: \.isCaptioned)
            return "\(set.location), \(Words.count(set.pictures.count, "picture")), \(captioned) captioned"
                + (session.heldOut.map { ", \($0.items.count) held out" } ?? "")
        }
        adapter = session.network.map { network in
            "\(Words.kinds(network)), \(Words.size(network)), \(Words.grouped(network.parameterCount)) parameters in \(Words.count(network.adapters.count, "layer"))"
        }
        if let trainer = session.trainer {
            (steps, epochs) = (trainer.position.step, trainer.position.epoch)
            keptEpochs = trainer.keptEpochs.map(\.epoch)
            settings = trainer.configuration.differences
            configuration = trainer.configuration
        }
        (firstLoss, lastLoss) = (session.history.heldOut.first?.loss, session.history.heldOut.last?.loss)
        trainSeconds = session.trainSeconds
        lora = session.savedTo
        pictureNames = session.dataset?.pictures.map(\.fileName) ?? []
    }

    /// One row for each part, the same in plain text and HTML.
    func table(work: (work: String, cell: Int)?) -> TextTable {
        var rows = [["model", model ?? "none; %model loads one"], ["dataset", dataset ?? "none; %dataset PATH loads one"], ["adapter", adapter ?? "none; %train makes one"]]
        if steps > 0 {
            rows.append(["trained", "\(Words.count(steps, "step")), \(Words.count(epochs, "epoch")), \(Words.duration(trainSeconds))"])
            rows.append(["kept", keptEpochs.isEmpty ? "no epochs" : "epochs \(keptEpochs.map(String.init).joined(separator: ", "))"])
        }
        if let firstLoss, let lastLoss { rows.append(["held-out loss", "\(Words.fixed(firstLoss, 4)) at first, \(Words.fixed(lastLoss, 4)) now"]) }
        if !settings.isEmpty { rows.append(["settings", settings.joined(separator: ", ")]) }
        if let lora { rows.append(["saved", lora]) }
        rows.append(["engine", "\(Words.count(Engine.threads, "thread")), tensors \(Words.bytes(Engine.bytesInUse)) (at most \(Words.bytes(Engine.peakBytes)))"])
        if let work { rows.append(["at work", "%\(work.work) in cell [\(work.cell)]"]) }
        return TextTable(header: ["part", "state"], rows: rows)
    }

    /// The same for programs.
    var json: JSON {
        func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
        return [
            "model": model.map { .string($0) } ?? .null, "dataset": dataset.map { .string($0) } ?? .null, "adapter": adapter.map { .string($0) } ?? .null,
            "steps": .integer(steps), "epochs": .integer(epochs), "kept_epochs": .array(keptEpochs.map { .integer($0) }), "first_loss": number(firstLoss),
            "last_loss": number(lastLoss), "train_seconds": .number((trainSeconds * 10).rounded() / 10), "lora": lora.map { .string($0) } ?? .null,
        ]
    }
}

extension TrainingConfiguration {
    /// Settings that differ from the defaults, `rank 4`.
    var differences: [String] {
        zip(settings, TrainingConfiguration().settings).compactMap { mine, standard in
            guard mine.text != standard.text, !["samplePrompts", "stateFile"].contains(mine.name) else { return nil }
            return "\(KohyaNames.spelling(mine.name)) \(mine.text)"
        }
    }
}
