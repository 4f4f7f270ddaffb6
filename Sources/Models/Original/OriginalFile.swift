import Checkpoints
import Foundation

/// A base model in one file under the names of the original releases (CompVis', Stability AI's), told apart by its tensors.
struct OriginalFile {
    let file: any WeightFile
    let family: BaseModel.Family
    let text: OriginalTextEncoder
    /// SDXL's second.
    let secondText: OriginalTextEncoder?

    static let unetPrefix = "model.diffusion_model."
    private static let clipPrefix = "cond_stage_model.transformer.", openCLIPPrefix = "cond_stage_model.model."
    private static let firstXLPrefix = "conditioner.embedders.0.transformer.", secondXLPrefix = "conditioner.embedders.1.model."

    /// - Throws: `ModelFileError.somethingElse`, which says what the file is, and `missingPart`.
    init(_ file: any WeightFile) throws(ModelFileError) {
        self.file = file
        let keys = file.keys
        func holds(_ prefix: String) -> Bool { keys.contains { $0.hasPrefix(prefix) } }
        if let other = ForeignModel(file) { throw .somethingElse(file: file.location, found: other.name, wayOut: other.wayOut) }
        if holds(Self.firstXLPrefix), holds(Self.secondXLPrefix) {
            family = .sdxl
            text = OriginalTextEncoder(prefix: Self.firstXLPrefix, naming: .transformers)
            secondText = OriginalTextEncoder(prefix: Self.secondXLPrefix, naming: .openCLIP, projects: true)
        } else if holds(Self.openCLIPPrefix) {
            family = .sd2
            text = OriginalTextEncoder(prefix: Self.openCLIPPrefix, naming: .openCLIP, dropsLastLayer: true)
            secondText = nil
        } else if holds(Self.clipPrefix) {
            family = .sd1
            text = OriginalTextEncoder(prefix: Self.clipPrefix, naming: .transformers)
            secondText = nil
        } else {
            throw .missingPart("text encoder", file: file.location, wayOut: "Use a release that holds the whole model: UNet, text encoder and autoencoder.")
        }
    }

    var texts: [OriginalTextEncoder] { [text] + (secondText.map { [$0] } ?? []) }

    /// How the family's UNet divides its channels into heads.
    var headRule: HeadRule { family == .sd1 ? .count(8) : .width(64) }
    var scalingFactor: Double { family == .sdxl ? AutoencoderKL.scalingFactorXL : AutoencoderKL.scalingFactor }

    // MARK: Accounting

    /// Requires that every key belongs to one of the parts or is known to carry no weights of the model.
    ///
    /// - Parameter parts: the renamed parts in use; the autoencoder is not among them when another one takes its place.
    func requireEveryKeyKnown(_ parts: [RenamedWeights]) throws(CheckpointError) {
        let prefixes = [Self.unetPrefix, AutoencoderKL.originalPrefix] + texts.map(\.prefix)
        let unknown = parts.flatMap(\.unknown) + file.keys.filter { key in !prefixes.contains { key.hasPrefix($0) } }
        let unused = unknown.filter { key in
            !Self.carriesNoWeights(key) && !texts.contains { key.hasPrefix($0.prefix) && $0.ignores(key, in: file) }
        }
        if !unused.isEmpty { throw .unusedKeys(Set(unused).sorted(), file: file.location) }
    }

    /// Keys of training programs: averaged weights beside the plain ones, the noise schedule as tables, counters, and marks that
    /// interfaces read.
    static func carriesNoWeights(_ key: String) -> Bool {
        let scopes = ["model_ema.", "first_stage_model.loss.", "loss.", "denoiser."]
        let tables = [
            "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_", "log_one_minus_alphas_cumprod", "posterior_", "lvlb_weights", "logvar",
            "global_step", "scale_factor", velocityMark, zeroSNRMark,
        ]
        let buffers: Set = ["position_ids", "logit_scale", "attn_mask"]
        let last = key.split(separator: ".").last.map(String.init) ?? ""
        return scopes.contains { key.hasPrefix($0) } || buffers.contains(last)
            || tables.contains { key == $0 || ($0.hasSuffix("_") && key.hasPrefix($0)) }
    }

    // MARK: The noise process

    /// Empty tensors by which some fine-tuned models say what they predict.
    private static let velocityMark = "v_pred", zeroSNRMark = "ztsnr"
    /// Steps after which Stability AI published the 512-pixel base of version 2, which predicts noise; diffusers goes by it.
    private static let stepsOfNoisePredictingBase = 875_000

    /// What the file says about its prediction, and in words why, where it does not say it itself.
    var prediction: (kind: Prediction, note: String?) {
        if file.contains(Self.velocityMark) { return (.velocity, nil) }
        guard family == .sd2 else { return (.epsilon, nil) }
        if globalStep == Self.stepsOfNoisePredictingBase { return (.epsilon, nil) }
        return (.velocity, "The file does not say whether the model predicts noise (512-pixel base) or velocity (768 pixels): taken as velocity. If pictures come out as noise, load it with prediction epsilon.")
    }

    private var globalStep: Int? {
        if let torch = file as? TorchFile { return torch.numbers["global_step"] }
        return (file as? SafetensorsFile).flatMap { file in (try? file.integers("global_step"))?.first }
    }

    /// `scheduler_config.json` as the family's diffusers release has it.
    func schedulerConfiguration(_ prediction: Prediction) -> Data {
        var values: [String: Any] = [
            "_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
            "clip_sample": false, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": NSNull(),
            "prediction_type": prediction.rawValue,
        ]
        switch family {
        case .sd1: break
        case .sd2: if prediction == .velocity { values["_class_name"] = "DDIMScheduler" }
        case .sdxl:
            values.merge([
                "_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", "sample_max_value": 1.0, "timestep_spacing": "leading",
                "use_karras_sigmas": false,
            ]) { $1 }
        }
        if file.contains(Self.zeroSNRMark) { values.merge(["rescale_betas_zero_snr": true, "timestep_spacing": "trailing"]) { $1 } }
        // A dictionary of literals is always JSON.
        return (try? JSONSerialization.data(withJSONObject: values, options: [.prettyPrinted, .sortedKeys])) ?? Data()
    }
}

/// What a denoiser was trained to predict.
public enum Prediction: String, Sendable, CaseIterable {
    case epsilon
    case velocity = "v_prediction"
}
