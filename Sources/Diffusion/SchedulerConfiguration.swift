/// What the denoiser's output means.
public enum PredictionType: String, Codable, Sendable, CaseIterable {
    /// The noise ε that was added.
    case epsilon
    /// The velocity `v = √ᾱ ε − √(1−ᾱ) x₀` (Salimans & Ho 2022, arXiv:2202.00512).
    case velocity = "v_prediction"
    /// The clean latents x₀.
    case sample
}

/// How sampling steps are spread over the training timesteps (Lin et al. 2023, arXiv:2305.08891, table 2).
public enum TimestepSpacing: String, Codable, Sendable, CaseIterable { case leading, trailing, linspace }

/// The shape of β over the timesteps.
public enum BetaSchedule: String, Codable, Sendable, CaseIterable {
    case linear
    /// Linear in √β: Stable Diffusion's.
    case scaledLinear = "scaled_linear"
}

/// A checkpoint's `scheduler/scheduler_config.json`, in diffusers' keys.
///
/// Keys about a class's own steps are optional: where the file is silent, each sampler takes the default of the diffusers
/// class it follows, as `from_config` does.
public struct SchedulerConfiguration: Codable, Sendable, Equatable {
    public var className: String?
    public var trainTimesteps: Int
    public var betaStart: Double
    public var betaEnd: Double
    public var betaSchedule: BetaSchedule
    public var predictionType: PredictionType
    public var timestepSpacing: TimestepSpacing?
    public var stepsOffset: Int?
    public var setAlphaToOne: Bool?
    public var clipSample: Bool?
    public var clipSampleRange: Double?
    public var rescaleBetasZeroSNR: Bool
    public var useKarrasSigmas: Bool?

    enum CodingKeys: String, CodingKey {
        case className = "_class_name", trainTimesteps = "num_train_timesteps", betaStart = "beta_start", betaEnd = "beta_end"
        case betaSchedule = "beta_schedule", predictionType = "prediction_type", timestepSpacing = "timestep_spacing"
        case stepsOffset = "steps_offset", setAlphaToOne = "set_alpha_to_one", clipSample = "clip_sample"
        case clipSampleRange = "clip_sample_range", rescaleBetasZeroSNR = "rescale_betas_zero_snr", useKarrasSigmas = "use_karras_sigmas"
    }

    /// - Parameters: Stable Diffusion's noise process; everything else as each sampler's class has it.
    public init(
        trainTimesteps: Int = 1000, betaStart: Double = 0.00085, betaEnd: Double = 0.012,
        betaSchedule: BetaSchedule = .scaledLinear, predictionType: PredictionType = .epsilon,
        timestepSpacing: TimestepSpacing? = nil, stepsOffset: Int? = nil, setAlphaToOne: Bool? = nil,
        clipSample: Bool? = nil, rescaleBetasZeroSNR: Bool = false
    ) {
        self.trainTimesteps = trainTimesteps
        self.betaStart = betaStart
        self.betaEnd = betaEnd
        self.betaSchedule = betaSchedule
        self.predictionType = predictionType
        self.timestepSpacing = timestepSpacing
        self.stepsOffset = stepsOffset
        self.setAlphaToOne = setAlphaToOne
        self.clipSample = clipSample
        self.rescaleBetasZeroSNR = rescaleBetasZeroSNR
    }

    /// A missing key takes diffusers' default for every scheduler class: 1000 timesteps, β linear from 0.0001 to 0.02, ε.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        className = try c.decodeIfPresent(String.self, forKey: .className)
        trainTimesteps = try c.decodeIfPresent(Int.self, forKey: .trainTimesteps) ?? 1000
        betaStart = try c.decodeIfPresent(Double.self, forKey: .betaStart) ?? 0.0001
        betaEnd = try c.decodeIfPresent(Double.self, forKey: .betaEnd) ?? 0.02
        betaSchedule = try c.decodeIfPresent(BetaSchedule.self, forKey: .betaSchedule) ?? .linear
        predictionType = try c.decodeIfPresent(PredictionType.self, forKey: .predictionType) ?? .epsilon
        timestepSpacing = try c.decodeIfPresent(TimestepSpacing.self, forKey: .timestepSpacing)
        stepsOffset = try c.decodeIfPresent(Int.self, forKey: .stepsOffset)
        setAlphaToOne = try c.decodeIfPresent(Bool.self, forKey: .setAlphaToOne)
        clipSample = try c.decodeIfPresent(Bool.self, forKey: .clipSample)
        clipSampleRange = try c.decodeIfPresent(Double.self, forKey: .clipSampleRange)
        rescaleBetasZeroSNR = try c.decodeIfPresent(Bool.self, forKey: .rescaleBetasZeroSNR) ?? false
        useKarrasSigmas = try c.decodeIfPresent(Bool.self, forKey: .useKarrasSigmas)
        try validate()
    }

    private func validate() throws(DiffusionError) {
        guard (2...100_000).contains(trainTimesteps) else {
            throw .unsupportedConfiguration(key: "num_train_timesteps", value: "\(trainTimesteps)", supported: "2 to 100000")
        }
        guard betaStart > 0, betaEnd > 0, betaStart < 1, betaEnd < 1 else {
            throw .unsupportedConfiguration(key: "beta_start, beta_end", value: "\(betaStart), \(betaEnd)", supported: "values between 0 and 1")
        }
        if let offset = stepsOffset, !(0..<trainTimesteps).contains(offset) {
            throw .unsupportedConfiguration(key: "steps_offset", value: "\(offset)", supported: "0 to \(trainTimesteps - 1)")
        }
    }

    /// The configuration as diffusers' `StableDiffusionPipeline` corrects outdated ones: `steps_offset` 1 and `clip_sample` false,
    /// whatever the file said of them (a file that names no class that clips keeps its silence).
    public var correctedForStableDiffusion: SchedulerConfiguration {
        var corrected = self
        corrected.stepsOffset = 1
        if clipSample == true || className == "DDIMScheduler" || className == "DDPMScheduler" { corrected.clipSample = false }
        return corrected
    }
}
