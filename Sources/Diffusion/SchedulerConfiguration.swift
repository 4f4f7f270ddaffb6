import Foundation

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
    /// From ᾱ = cos² (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
    case squaredCosine = "squaredcos_cap_v2"
}

/// Where the last step of a method in σ ends.
public enum FinalSigma: String, Codable, Sendable, CaseIterable {
    case zero
    /// The smallest σ of the table: a little noise is left.
    case smallest = "sigma_min"
}

/// How Euler's noise levels lie between the table's entries.
public enum SigmaInterpolation: String, Codable, Sendable, CaseIterable { case linear, logLinear = "log_linear" }

/// A checkpoint's `scheduler/scheduler_config.json`, in diffusers' keys.
///
/// Keys about a class's own steps are optional: where the file is silent, each sampler takes the default of the diffusers
/// class it follows, and keys that this class does not know are nothing to it, as in `from_config`.
public struct SchedulerConfiguration: Codable, Sendable, Equatable {
    public var className: String?
    public var trainTimesteps: Int
    public var predictionType: PredictionType

    // MARK: The noise process
    public var betaStart: Double?
    public var betaEnd: Double?
    public var betaSchedule: BetaSchedule?
    /// β of each training timestep, in place of a schedule.
    public var trainedBetas: [Double]?
    public var rescaleBetasZeroSNR: Bool

    // MARK: The steps
    public var timestepSpacing: TimestepSpacing?
    public var stepsOffset: Int?
    public var useKarrasSigmas: Bool?
    public var useExponentialSigmas: Bool?
    public var useBetaSigmas: Bool?
    public var useFlowSigmas: Bool?
    public var useLuLambdas: Bool?
    public var sigmaMin: Double?
    public var sigmaMax: Double?
    public var interpolation: SigmaInterpolation?
    /// `continuous` tells the denoiser ¼ ln σ in place of a timestep.
    public var timestepType: String?
    public var lambdaMinClipped: Double?

    // MARK: The last step, and what is done with the predicted x₀
    public var setAlphaToOne: Bool?
    public var finalSigma: FinalSigma?
    public var clipSample: Bool?
    public var clipSampleRange: Double?
    public var thresholding: Bool?
    public var dynamicThresholdingRatio: Double?
    public var sampleMaxValue: Double?

    // MARK: Single methods
    public var skipPRKSteps: Bool?
    public var algorithmType: String?
    public var solverOrder: Int?
    public var solverType: String?
    public var lowerOrderFinal: Bool?
    public var eulerAtFinal: Bool?
    public var predictX0: Bool?
    /// Steps after which UniPC corrects nothing.
    public var disableCorrector: [Int]?
    public var originalInferenceSteps: Int?
    public var timestepScaling: Double?

    enum CodingKeys: String, CodingKey {
        case className = "_class_name", trainTimesteps = "num_train_timesteps", predictionType = "prediction_type"
        case betaStart = "beta_start", betaEnd = "beta_end", betaSchedule = "beta_schedule", trainedBetas = "trained_betas"
        case rescaleBetasZeroSNR = "rescale_betas_zero_snr", timestepSpacing = "timestep_spacing", stepsOffset = "steps_offset"
        case useKarrasSigmas = "use_karras_sigmas", useExponentialSigmas = "use_exponential_sigmas", useBetaSigmas = "use_beta_sigmas"
        case useFlowSigmas = "use_flow_sigmas", useLuLambdas = "use_lu_lambdas", sigmaMin = "sigma_min", sigmaMax = "sigma_max"
        case interpolation = "interpolation_type", timestepType = "timestep_type", lambdaMinClipped = "lambda_min_clipped"
        case setAlphaToOne = "set_alpha_to_one", finalSigma = "final_sigmas_type", clipSample = "clip_sample", clipSampleRange = "clip_sample_range"
        case thresholding, dynamicThresholdingRatio = "dynamic_thresholding_ratio", sampleMaxValue = "sample_max_value"
        case skipPRKSteps = "skip_prk_steps", algorithmType = "algorithm_type", solverOrder = "solver_order", solverType = "solver_type"
        case lowerOrderFinal = "lower_order_final", eulerAtFinal = "euler_at_final", predictX0 = "predict_x0", disableCorrector = "disable_corrector"
        case originalInferenceSteps = "original_inference_steps", timestepScaling = "timestep_scaling"
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

    /// Reads the file's bytes. Python writes infinities into it (`"lambda_min_clipped": -Infinity`), which JSON has no word for and JSON5 has.
    /// - Throws: `DiffusionError` naming the key that cannot be followed; `DecodingError`.
    public init(json: Data) throws {
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        self = try decoder.decode(Self.self, from: json)
    }

    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, as type: T.Type = T.self) throws -> T? { try c.decodeIfPresent(type, forKey: key) }
        func word<T: RawRepresentable & CaseIterable>(_ key: CodingKeys) throws -> T? where T.RawValue == String {
            guard let text: String = try value(key) else { return nil }
            guard let known = T(rawValue: text) else {
                throw DiffusionError.unsupportedConfiguration(key: key.rawValue, value: text, supported: T.allCases.map(\.rawValue).joined(separator: ", "))
            }
            return known
        }
        className = try value(.className)
        trainTimesteps = try value(.trainTimesteps) ?? 1000
        predictionType = try word(.predictionType) ?? .epsilon
        betaStart = try value(.betaStart)
        betaEnd = try value(.betaEnd)
        betaSchedule = try word(.betaSchedule)
        trainedBetas = try value(.trainedBetas)
        rescaleBetasZeroSNR = try value(.rescaleBetasZeroSNR) ?? false
        timestepSpacing = try word(.timestepSpacing)
        stepsOffset = try value(.stepsOffset)
        useKarrasSigmas = try value(.useKarrasSigmas)
        useExponentialSigmas = try value(.useExponentialSigmas)
        useBetaSigmas = try value(.useBetaSigmas)
        useFlowSigmas = try value(.useFlowSigmas)
        useLuLambdas = try value(.useLuLambdas)
        sigmaMin = try value(.sigmaMin)
        sigmaMax = try value(.sigmaMax)
        interpolation = try word(.interpolation)
        timestepType = try value(.timestepType)
        lambdaMinClipped = try value(.lambdaMinClipped).flatMap { $0 == -.infinity ? nil : $0 }
        setAlphaToOne = try value(.setAlphaToOne)
        finalSigma = try word(.finalSigma)
        clipSample = try value(.clipSample)
        clipSampleRange = try value(.clipSampleRange)
        thresholding = try value(.thresholding)
        dynamicThresholdingRatio = try value(.dynamicThresholdingRatio)
        sampleMaxValue = try value(.sampleMaxValue)
        skipPRKSteps = try value(.skipPRKSteps)
        algorithmType = try value(.algorithmType)
        solverOrder = try value(.solverOrder)
        solverType = try value(.solverType)
        lowerOrderFinal = try value(.lowerOrderFinal)
        eulerAtFinal = try value(.eulerAtFinal)
        predictX0 = try value(.predictX0)
        disableCorrector = try value(.disableCorrector)
        originalInferenceSteps = try value(.originalInferenceSteps)
        timestepScaling = try value(.timestepScaling)
        try validate()
    }

    private func validate() throws(DiffusionError) {
        func require(_ condition: Bool, _ key: String, _ value: Any, _ supported: String) throws(DiffusionError) {
            guard condition else { throw .unsupportedConfiguration(key: key, value: "\(value)", supported: supported) }
        }
        try require((2...100_000).contains(trainTimesteps), "num_train_timesteps", trainTimesteps, "2 to 100000")
        for (key, beta) in [("beta_start", betaStart), ("beta_end", betaEnd)] {
            if let beta { try require(beta > 0 && beta < 1, key, beta, "values between 0 and 1") }
        }
        if let trainedBetas {
            try require(trainedBetas.count == trainTimesteps, "trained_betas", "\(trainedBetas.count) values", "one value for each of the \(trainTimesteps) timesteps")
            try require(trainedBetas.allSatisfy { $0 > 0 && $0 < 1 }, "trained_betas", "values outside 0 to 1", "values between 0 and 1")
        }
        if let offset = stepsOffset { try require((0..<trainTimesteps).contains(offset), "steps_offset", offset, "0 to \(trainTimesteps - 1)") }
        for (key, sigma) in [("sigma_min", sigmaMin), ("sigma_max", sigmaMax)] {
            if let sigma { try require(sigma > 0 && sigma.isFinite, key, sigma, "positive numbers") }
        }
        if let ratio = dynamicThresholdingRatio { try require((0...1).contains(ratio), "dynamic_thresholding_ratio", ratio, "0 to 1") }
        if let order = solverOrder { try require((1...3).contains(order), "solver_order", order, "1, 2, 3") }
        if let steps = originalInferenceSteps { try require((1...trainTimesteps).contains(steps), "original_inference_steps", steps, "1 to \(trainTimesteps)") }
    }

    /// The configuration as diffusers' `StableDiffusionPipeline` corrects outdated ones before a sampler is made from it: a
    /// `steps_offset` other than 1 and a true `clip_sample` are overruled. Silence is kept: `from_config` drops the values
    /// that were a class's defaults, corrected ones too. The XL pipeline corrects nothing.
    public var correctedForStableDiffusion: SchedulerConfiguration {
        var corrected = self
        if stepsOffset != nil { corrected.stepsOffset = 1 }
        if clipSample == true { corrected.clipSample = false }
        return corrected
    }
}
