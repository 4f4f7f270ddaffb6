import Diffusion
import Foundation
import Models
import TensorCore
import Training

/// A base model with what belongs to it, as it lies in memory.
public struct LoadedModel: Sendable {
    public let diffusion: DiffusionModel
    /// The captioner beside it, when its folder has one.
    public let captioner: BLIPCaptioner?
    /// The folder or file it was read from.
    public let location: String
    /// Whether it is the one that ships with LoRALab.
    public let isEmbedded: Bool
    /// Parts with their numbers of weights and bytes in memory, captioner included.
    public let sizes: [(name: String, parameters: Int, bytes: Int)]

    /// Reads a folder in diffusers' layout (and our own `captioner/` in it), or a single file in the original names.
    ///
    /// - Throws: `LabError`, `ModelFileError`, `ConfigurationError`, `CheckpointError`, `TokenizerError`, `DiffusionError`, each
    ///   naming the file.
    init(path: String, options: BaseModel.LoadOptions) throws {
        try Self.checkLayout(path)
        let base = try BaseModel.load(path: path, options: options)
        var scheduler = try SchedulerConfiguration(json: base.schedulerConfiguration)
        if base.family != .sdxl { scheduler = scheduler.correctedForStableDiffusion }
        if let prediction = options.prediction { scheduler.predictionType = prediction == .velocity ? .velocity : .epsilon }
        diffusion = DiffusionModel(base, schedule: NoiseSchedule(scheduler), name: path.split(separator: "/").last.map(String.init) ?? path)
        let hasCaptioner = FileManager.default.fileExists(atPath: "\(path)/captioner/config.json")
        captioner = hasCaptioner ? try BLIPCaptioner.load(folder: "\(path)/captioner", precision: options.precision) : nil
        location = path
        isEmbedded = (try? EmbeddedModel.folder()) == path
        let captionerRegistry = captioner.map { [$0.model.registry] } ?? []
        sizes = base.sizes.map { ($0.name, $0.parameters, $0.bytes) } + captionerRegistry.map { ("captioner", $0.parameterCount, $0.byteCount) }
    }

    private static func checkLayout(_ path: String) throws(LabError) {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { throw .notReadable(path: path, reason: "there is no such folder or file") }
        guard !isFolder.boolValue || FileManager.default.fileExists(atPath: "\(path)/model_index.json") else {
            throw .invalid(
                "\(path) has no model_index.json, so it is no model in diffusers' layout",
                wayOut: "Give the folder that holds unet/, vae/, text_encoder/, tokenizer/ and scheduler/, or a single .safetensors or .ckpt file.")
        }
    }

    /// Pixels along a side of the pictures it was trained on; 512 where its configuration does not tell.
    public var nativeSide: Int {
        guard case .one(let cells)? = diffusion.unet.configuration.sampleSize else { return 512 }
        return cells * diffusion.latentScale
    }

    /// What was assumed where the files do not say it, a sentence each.
    public var notes: [String] { diffusion.base.notes }

    public var parameterCount: Int { sizes.reduce(0) { $0 + $1.parameters } }
    /// Bytes that the weights take.
    public var byteCount: Int { sizes.reduce(0) { $0 + $1.bytes } }

    /// Whether the guide's numbers (loss band, 1,500 image-steps) are about models like this one.
    public var guideApplies: Bool { diffusion.unet.registry.parameterCount > 300_000_000 }

    /// What kind of model it is, in words.
    public var family: String {
        let isVelocity = diffusion.schedule.configuration.predictionType == .velocity
        let name = switch diffusion.base.family {
        case .sd1: "Stable Diffusion 1.x"
        case .sd2: "Stable Diffusion 2.x"
        case .sdxl: "Stable Diffusion XL"
        }
        return (isEmbedded ? "a small latent diffusion model of Stable Diffusion's kind" : guideApplies ? name : "a small model of \(name)'s kind") + (isVelocity ? " (v-prediction)" : "")
    }
}
