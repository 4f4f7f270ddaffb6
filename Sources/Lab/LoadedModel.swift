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
    /// The folder it was read from.
    public let location: String
    /// Whether it is the one that ships with LoRALab.
    public let isEmbedded: Bool
    /// Parts with their numbers of weights and bytes in memory, captioner included.
    public let sizes: [(name: String, parameters: Int, bytes: Int)]

    /// Reads a folder in diffusers' layout, and our own `captioner/` in it.
    ///
    /// - Parameters:
    ///   - autoencoder: another autoencoder's folder.
    ///   - precision: how matrices are stored; nil as in the files.
    /// - Throws: `LabError`, `ConfigurationError`, `CheckpointError`, `TokenizerError`, `DiffusionError`, each naming the file.
    init(folder: String, autoencoder: String?, precision: DType?) throws {
        try Self.checkLayout(folder)
        let base = try BaseModel.load(folder: folder, precision: precision, vae: autoencoder)
        guard base.family != .sdxl else {
            throw LabError.invalid("\(folder) holds a Stable Diffusion XL model, which cannot be trained here", wayOut: "Use a model of the families 1.x or 2.x.")
        }
        let scheduler = try SchedulerConfiguration(json: base.schedulerConfiguration).correctedForStableDiffusion
        let tokenizer = base.tokenizer
        diffusion = DiffusionModel(
            unet: base.unet, textEncoder: base.textEncoder, autoencoder: base.autoencoder, schedule: NoiseSchedule(scheduler),
            name: folder.split(separator: "/").last.map(String.init) ?? folder, baseVersion: Self.version(base, scheduler)) { tokenizer.encode($0) }
        let hasCaptioner = FileManager.default.fileExists(atPath: "\(folder)/captioner/config.json")
        captioner = hasCaptioner ? try BLIPCaptioner.load(folder: "\(folder)/captioner", precision: precision) : nil
        location = folder
        isEmbedded = (try? EmbeddedModel.folder()) == folder
        let captionerRegistry = captioner.map { [$0.model.registry] } ?? []
        sizes = base.sizes.map { ($0.name, $0.parameters, $0.bytes) } + captionerRegistry.map { ("captioner", $0.parameterCount, $0.byteCount) }
    }

    private static func checkLayout(_ folder: String) throws(LabError) {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder) else { throw .notReadable(path: folder, reason: "there is no such folder") }
        guard isFolder.boolValue else {
            throw .invalid(
                "\(folder) is a single file; models are read from folders in diffusers' layout",
                wayOut: "Convert it once with diffusers: StableDiffusionPipeline.from_single_file(…).save_pretrained(FOLDER).")
        }
        guard FileManager.default.fileExists(atPath: "\(folder)/model_index.json") else {
            throw .invalid("\(folder) has no model_index.json, so it is no model in diffusers' layout", wayOut: "Give the folder that holds unet/, vae/, text_encoder/, tokenizer/ and scheduler/.")
        }
    }

    /// Kohya's name of the family.
    private static func version(_ base: BaseModel, _ scheduler: SchedulerConfiguration) -> String {
        guard base.family == .sd2 else { return "sd_v1" }
        return scheduler.predictionType == .velocity ? "sd_v2_v" : "sd_v2"
    }

    /// Pixels along a side of the pictures it was trained on; 512 where its configuration does not tell.
    public var nativeSide: Int {
        guard case .one(let cells)? = diffusion.unet.configuration.sampleSize else { return 512 }
        return cells * diffusion.latentScale
    }

    public var parameterCount: Int { sizes.reduce(0) { $0 + $1.parameters } }
    /// Bytes that the weights take.
    public var byteCount: Int { sizes.reduce(0) { $0 + $1.bytes } }

    /// Whether the guide's numbers (loss band, 1,500 image-steps) are about models like this one.
    public var guideApplies: Bool { diffusion.unet.registry.parameterCount > 300_000_000 }

    /// What kind of model it is, in words.
    public var family: String {
        guard guideApplies else { return "a small latent diffusion model of Stable Diffusion's kind" }
        switch diffusion.baseVersion {
        case "sd_v2_v": return "Stable Diffusion 2.x (v-prediction)"
        case "sd_v2": return "Stable Diffusion 2.x"
        default: return "Stable Diffusion 1.x"
        }
    }
}
