import Adapters
import Checkpoints
import Foundation
import Glibc
import Training

extension Session {
    /// What `save` wrote.
    public struct SavedAdapter: Sendable {
        public let path: String
        public let bytes: Int
        public let keys: Int
        public let metadata: [String: String]
    }

    /// Writes the adapter as safetensors with Kohya's names and metadata, whole or not at all.
    ///
    /// - Parameters:
    ///   - path: the file; a folder takes the run's name. `.safetensors` is added when it is missing, folders on the way are made.
    ///   - stage: an epoch that was kept, or the present state.
    ///   - precision: nil for the run's own.
    public func saveAdapter(to path: String, stage: Stage = .current, precision: SavePrecision? = nil) throws -> SavedAdapter {
        guard let network else { throw LabError.noAdapter }
        let file = try writablePath(path)
        if let trainer {
            var snapshot: AdapterSnapshot?
            var epoch = trainer.position.epoch
            if case .epoch(let number) = stage {
                guard let kept = trainer.keptEpochs.last(where: { $0.epoch == number }) else { throw LabError.epochNotKept(String(number), kept: trainer.keptEpochs.map(\.epoch)) }
                (snapshot, epoch) = (kept.snapshot, number)
            }
            try trainer.saveAdapter(to: file, snapshot: snapshot, epoch: epoch, precision: precision)
        } else {
            try network.write(to: file, precision: (precision ?? .fp16).dtype, metadata: loadedMetadata)
        }
        let written = try SafetensorsFile(path: file)
        savedTo = file
        let size = (try? FileManager.default.attributesOfItem(atPath: file))?[.size] as? Int
        return SavedAdapter(path: file, bytes: size ?? 0, keys: written.keys.count, metadata: written.metadata)
    }

    /// Loads an adapter file. It takes the place of the present one; `%train` goes on from it.
    ///
    /// - Returns: the network and the file's metadata.
    @discardableResult
    public func loadAdapter(_ path: String) throws -> (network: AdapterNetwork, metadata: [String: String]) {
        let model = try requireModel()
        let file = try AdapterFile(path: path)
        let network = try AdapterNetwork(file, model: model.diffusion.adaptable)
        endRun()
        loadedAdapter = network
        loadedMetadata = file.metadata
        network.attach()
        return (network, file.metadata)
    }

    /// The adapter of a file, to be trained further.
    func adapter(from path: String, as kind: NetworkKind, for model: LoadedModel) throws -> AdapterNetwork {
        try AdapterNetwork(AdapterFile(path: path), model: model.diffusion.adaptable, trainable: true, as: kind)
    }

    // MARK: Places to write

    /// The file that a path means, in a folder that exists and may be written to.
    private func writablePath(_ path: String) throws -> String {
        var isFolder: ObjCBool = false
        var file = path
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue || path.hasSuffix("/") {
            file = (path as NSString).appendingPathComponent((trainer?.configuration.outputName ?? "lora") + ".safetensors")
        } else if path.hasSuffix("/") {
            file = path + (trainer?.configuration.outputName ?? "lora") + ".safetensors"
        } else if !path.lowercased().hasSuffix(".safetensors") {
            file += ".safetensors"
        }
        let folder = (file as NSString).deletingLastPathComponent
        try requireWritable(folder: folder.isEmpty ? "." : folder)
        return file
    }

    /// Makes the folder if it is not there.
    ///
    /// - Throws: `LabError.notWritable`, also for a folder that nobody may write to when the system would let an administrator do it.
    func requireWritable(folder: String?) throws {
        guard let folder else { return }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw LabError.notWritable(path: folder, reason: "the folder is not there and cannot be made")
        }
        let permissions = (try? FileManager.default.attributesOfItem(atPath: folder))?[.posixPermissions] as? Int ?? 0o777
        guard permissions & 0o222 != 0, access(folder, W_OK) == 0 else { throw LabError.notWritable(path: folder, reason: "the folder is read-only") }
    }
}
