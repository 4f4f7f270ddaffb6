import Adapters
import Checkpoints
import Datasets
#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Neural
import TensorCore

/// What a state file says beside its tensors.
struct SavedState: Codable {
    var configuration: TrainingConfiguration
    let position: TrainingPosition
    let window: LossWindow
    /// Generator states.
    let noise: Data, captions: Data, weights: Data
    let model: String
    let dataset: String
}

extension Trainer {
    static let stateFormat = "loralab-training-state-2"

    private static let adapterPrefix = "adapter."

    /// Writes everything a continuation needs (adapter, optimizer, random sequences, position, settings) into one file, whole
    /// or not at all. A trainer resumed from it does what this one would have done, to the last bit.
    /// - Throws: `CheckpointError.cannotWrite`, `TrainingError.notFinite`; a file of that name is then as it was.
    public func saveState(to path: String) throws {
        let snapshot = network.snapshot()
        guard snapshot.isFinite else { throw TrainingError.notFinite(what: "the adapter", step: position.step) }
        let state = SavedState(
            configuration: configuration, position: position, window: window,
            noise: Data(randomness.noise.state), captions: Data(randomness.captions.state), weights: Data(randomness.weights.state),
            model: model.name, dataset: dataset.fingerprint)
        var tensors: [(name: String, tensor: Tensor)] = network.tensors().map { (Self.adapterPrefix + $0.name, $0.tensor) }
        tensors += optimizer.state.map { ("optimizer.\($0.name)", $0.tensor) }
        let json = String(decoding: try JSONEncoder().encode(state), as: UTF8.self)
        try SafetensorsWriter.write(tensors, metadata: ["format": Self.stateFormat, "state": json], to: path)
    }

    /// A trainer that goes on from a state file.
    /// - Parameter change: changes the saved settings before anything is made of them (folders that have moved, say).
    /// - Throws: `TrainingError.invalidState` or `otherState`; `CheckpointError` for a file that cannot be read.
    public convenience init(
        resuming path: String, model: DiffusionModel, dataset: Dataset, heldOut: Dataset? = nil, change: (inout TrainingConfiguration) -> Void = { _ in }
    ) throws {
        let file = try SafetensorsFile(path: path, copiesTensors: true)
        guard file.metadata["format"] == Self.stateFormat, let json = file.metadata["state"] else {
            throw TrainingError.invalidState(file: path, reason: "it is a safetensors file of another kind")
        }
        guard var saved = try? JSONDecoder().decode(SavedState.self, from: Data(json.utf8)) else {
            throw TrainingError.invalidState(file: path, reason: "its settings cannot be read; it may be of another version")
        }
        guard saved.model == model.name else { throw TrainingError.otherState(file: path, what: "model", saved: saved.model, present: model.name) }
        guard saved.dataset == dataset.fingerprint else {
            throw TrainingError.otherState(file: path, what: "data set", saved: saved.dataset, present: dataset.fingerprint)
        }
        change(&saved.configuration)
        let network = try AdapterNetwork(
            AdapterFile(file, prefix: Self.adapterPrefix), model: model.adaptable, trainable: true, as: saved.configuration.network)
        try self.init(model: model, dataset: dataset, heldOut: heldOut, network: network, configuration: saved.configuration)
        try restore(saved, file)
        try file.requireUnchanged()
    }

    private func restore(_ saved: SavedState, _ file: SafetensorsFile) throws {
        var state: [String: Tensor] = [:]
        for key in file.keys where key.hasPrefix("optimizer.") { state[String(key.dropFirst("optimizer.".count))] = try file.tensor(key) }
        do {
            try optimizer.restore(state)
            randomness.noise = try TorchGenerator(state: Array(saved.noise))
            randomness.captions = try TorchGenerator(state: Array(saved.captions))
            randomness.weights = try TorchGenerator(state: Array(saved.weights))
        } catch {
            throw TrainingError.invalidState(file: file.location, reason: "\(error)")
        }
        guard saved.position.batchSize > 0, saved.position.batch >= 0, saved.position.epoch >= 0 else {
            throw TrainingError.invalidState(file: file.location, reason: "its position in the run makes no sense")
        }
        position = saved.position
        window = saved.window
        beginEpoch()
        guard position.batch <= batches.count else {
            throw TrainingError.invalidState(file: file.location, reason: "its epoch has \(position.batch) batches behind it, but only \(batches.count) in all")
        }
    }

    /// Where the state goes from now on; nil for nowhere.
    public func keepState(in file: String?) { configuration.stateFile = file }

    func saveStateIfAsked(_ event: (TrainingEvent) -> Void) throws {
        guard let path = configuration.stateFile else { return }
        try saveState(to: path)
        event(.saved(SaveReport(kind: .state, path: path, epoch: position.epoch, bytes: Self.size(of: path))))
    }

    /// Writes the adapter where the configuration has a folder: `<name>.safetensors` at the end of a run,
    /// `<name>-000012.safetensors` after an epoch, as Kohya's scripts name them.
    func saveAdapter(isFinal: Bool, _ event: (TrainingEvent) -> Void) throws {
        guard let folder = configuration.outputFolder else { return }
        let number = String(position.epoch)
        let suffix = isFinal ? "" : "-" + String(repeating: "0", count: max(0, 6 - number.count)) + number
        let path = "\(folder)/\(configuration.outputName)\(suffix).safetensors"
        try saveAdapter(to: path)
        event(.saved(SaveReport(kind: .adapter, path: path, epoch: position.epoch, bytes: Self.size(of: path))))
    }

    /// Writes the adapter with Kohya's names and metadata.
    /// - Parameter snapshot: a kept epoch's; nil is the adapter as it stands.
    /// - Throws: `TrainingError.notFinite` before anything is written; `AdapterError.checkpoint` when it cannot be.
    public func saveAdapter(to path: String, snapshot: AdapterSnapshot? = nil, epoch: Int? = nil, precision: SavePrecision? = nil) throws {
        let content = snapshot ?? network.snapshot()
        guard content.isFinite else { throw TrainingError.notFinite(what: "the adapter", step: position.step) }
        try network.withSnapshot(content) {
            try network.write(
                to: path, precision: (precision ?? configuration.savePrecision).dtype, metadata: metadata(epoch: epoch ?? position.epoch))
        }
    }

    private static func size(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}

extension Dataset {
    /// Sixteen digits that change when pictures, repeats, buckets or their order do; captions may be edited.
    var fingerprint: String {
        var hash = FNV1a()
        for item in items {
            hash.add(item.contentHash)
            hash.add(UInt64(item.repeats))
            hash.add(UInt64(item.placement.bucket.width) << 32 | UInt64(item.placement.bucket.height))
            hash.add(UInt64(item.isRegularisation ? 1 : 0))
        }
        return hash.digits
    }
}
