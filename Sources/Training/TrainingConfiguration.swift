import Adapters
import Datasets
import Diffusion
import Neural
import TensorCore

/// Names of the learning rate's schedules, as Kohya's scripts spell them.
public enum ScheduleName: String, Codable, Sendable, CaseIterable {
    case constant, constantWithWarmup = "constant_with_warmup", linear, cosine, cosineWithRestarts = "cosine_with_restarts", polynomial
    case inverseSquareRoot = "inverse_sqrt", cosineWithMinimum = "cosine_with_min_lr"
}

/// How long the learning rate rises from 0.
public enum Warmup: Codable, Sendable, Equatable {
    case steps(Int)
    /// Of all steps of the run, 0…1.
    case ratio(Double)

    func steps(of total: Int) -> Int {
        switch self {
        case .steps(let steps): min(steps, total)
        case .ratio(let ratio): Int((ratio * Double(total)).rounded(.down))
        }
    }
}

/// Precision of saved adapters.
public enum SavePrecision: String, Codable, Sendable, CaseIterable {
    case float, fp16, bf16

    public var dtype: DType {
        switch self {
        case .float: .float32
        case .fp16: .float16
        case .bf16: .bfloat16
        }
    }
}

/// AdamW's own settings; defaults are torch's.
public struct AdamWSettings: Codable, Sendable, Equatable {
    public var beta1 = 0.9
    public var beta2 = 0.999
    public var epsilon = 1e-8
    public var weightDecay = 0.01

    public init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0.01) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }
}

/// Everything a run is told. A value: a changed copy given to `Trainer.configure` changes what follows.
public struct TrainingConfiguration: Codable, Sendable, Equatable {
    // How long.
    /// Epochs to train from here on.
    public var epochs = 1
    /// Updates to train from here on, in place of whole epochs.
    public var maximumSteps: Int?
    public var batchSize = 1
    /// Batches whose gradients are averaged before an update.
    public var accumulation = 1

    // The adapter.
    /// The formula; fixed for the adapter's life.
    public var network = NetworkKind.standard
    public var rank = 8
    /// nil or 0: equal to the rank.
    public var alpha: Float?
    /// Rank and alpha of 3×3 convolutions (`conv_dim`, `conv_alpha`); nil leaves them alone, but for LoCon, LoHa and LoKr, whose
    /// convolutions then get the adapter's own; rank 0 leaves them alone for these, too.
    public var convolution: NetworkSpecification.Convolution?
    /// Cores between the factors of larger kernels (`use_tucker`).
    public var usesCores = false
    public var unetTargets = UNetTargets.transformer
    public var textEncoderTargets = TextEncoderTargets.none

    // Learning.
    public var learningRate: Double = 1e-4
    /// nil: `learningRate`; 0 leaves the part as it is.
    public var unetLearningRate: Double?
    public var textEncoderLearningRate: Double?
    public var schedule = ScheduleName.cosine
    public var warmup = Warmup.ratio(0)
    /// Of the schedule with restarts.
    public var cycles = 1
    /// Of the polynomial schedule.
    public var power = 1.0
    /// Ratio to the base rate at the end of the cosine with a minimum.
    public var minimumRate = 0.0
    public var adamW = AdamWSettings()
    /// Global norm that gradients are shortened to; 0 is off.
    public var maximumGradientNorm: Float = 1

    // Noise and loss.
    /// Low 32 bits count; nil draws one, which `Trainer` then records.
    public var seed: UInt64?
    /// Timesteps drawn from, of the schedule's (1000 for Stable Diffusion); nil is all.
    public var minimumTimestep: Int?
    public var maximumTimestep: Int?
    public var noiseOffset: Float = 0
    public var noiseOffsetRandomStrength = false
    /// Input perturbation γ (Ning et al. 2023, arXiv:2301.11706).
    public var inputPerturbation: Float = 0
    public var objective = Objective()
    /// Factor on the loss of regularisation pictures.
    public var priorLossWeight: Float = 1

    // Words.
    public var captions = CaptionOptions()
    /// n reads the text encoder's n-th layer from the end; nil and 1 the last.
    public var clipSkip: Int?
    /// Rows of the text encoder's length (75 words) that a caption may take: Kohya's `max_token_length` ÷ 75.
    public var tokenRows = 1

    // Memory.
    /// Encodes each picture once; otherwise at every use, with a fresh sample of the posterior.
    public var cachesLatents = true
    /// Recomputes all of the denoiser's insides in the backward pass: less memory, about a third slower.
    public var recomputes = false
    /// Bytes that the process may take; as many of the denoiser's levels are recomputed as that needs, and a run that needs more is refused.
    public var memoryLimit: Int?

    // Keeping and showing.
    public var outputName = "last"
    /// Where files go; nil keeps epochs in memory only.
    public var outputFolder: String?
    /// Keeps the adapter every n epochs (memory, and a file where there is a folder); the last epoch is always kept. 0 keeps only the last.
    public var saveEveryEpochs = 1
    public var savePrecision = SavePrecision.fp16
    /// Draws the prompts every n epochs; 0 never.
    public var sampleEveryEpochs = 0
    public var samplesAtFirst = false
    public var samplePrompts: [SamplePrompt] = []
    /// Where the state is written after each epoch and at a stop; nil for nowhere.
    public var stateFile: String?
    /// Measures the loss on held-out pictures every n epochs; 0 never.
    public var evaluateEveryEpochs = 1

    public init() {}

    public var effectiveUNetRate: Double { unetTargets == .none ? 0 : unetLearningRate ?? learningRate }
    public var effectiveTextEncoderRate: Double { textEncoderTargets == .none ? 0 : textEncoderLearningRate ?? learningRate }

    /// The adapter that these settings ask for; parts with rate 0 are left out.
    public var specification: NetworkSpecification {
        NetworkSpecification(
            network,
            LoRASpecification(
                rank: rank, alpha: alpha, unet: effectiveUNetRate > 0 ? unetTargets : .none,
                textEncoder: effectiveTextEncoderRate > 0 ? textEncoderTargets : .none),
            convolution: adaptedConvolution, usesCores: usesCores)
    }

    /// α with its default put in.
    var effectiveAlpha: Float { specification.base.effectiveAlpha }

    private var adaptedConvolution: NetworkSpecification.Convolution? {
        switch network {
        case .standard, .dylora: convolution
        case .locon, .loha, .lokr: convolution ?? .init(rank: rank, alpha: alpha)
        }
    }

    func learningRateSchedule(totalSteps: Int) -> LearningRateSchedule {
        let shape: LearningRateSchedule.Shape = switch schedule {
        case .constant: .constant
        case .constantWithWarmup: .constantWithWarmup
        case .linear: .linear
        case .cosine: .cosine
        case .cosineWithRestarts: .cosineWithRestarts(cycles: cycles)
        case .polynomial: .polynomial(power: power, end: 0)
        case .inverseSquareRoot: .inverseSquareRoot(timescale: nil)
        case .cosineWithMinimum: .cosineWithMinimum(minimum: minimumRate, cycles: 1)
        }
        return LearningRateSchedule(shape, warmupSteps: warmup.steps(of: totalSteps), totalSteps: totalSteps)
    }
}

// MARK: - Validation

extension TrainingConfiguration {
    /// Checks every setting that can be judged without a model or a data set.
    /// - Throws: `TrainingError.invalidSetting` with the value, the range and the nearest value inside, or `contradiction`;
    ///   `AdapterError` for rank and alpha; `DatasetError` for caption options.
    public func validate() throws {
        try check("epochs", epochs, in: 1...100_000)
        if let maximumSteps { try check("maximumSteps", maximumSteps, in: 1...10_000_000) }
        try check("batchSize", batchSize, in: 1...1024)
        try check("accumulation", accumulation, in: 1...1024)
        try checkRates()
        try LoRASpecification(rank: rank, alpha: alpha, unet: .transformer).validate()
        try specification.validate()
        try check("tokenRows", tokenRows, in: 1...3)
        try checkSchedule()
        try check("maximumGradientNorm", maximumGradientNorm, in: 0...1e6)
        try check("noiseOffset", noiseOffset, in: 0...1)
        try check("inputPerturbation", inputPerturbation, in: 0...1)
        try check("priorLossWeight", priorLossWeight, in: 0...100)
        if let gamma = objective.minSNRGamma { try check("minSNRGamma", gamma, in: 0.01...1000) }
        try check("huberThreshold", objective.huberThreshold, in: 1e-4...100)
        try captions.validate()
        if let clipSkip { try check("clipSkip", clipSkip, in: 1...32) }
        for (name, value) in [("saveEveryEpochs", saveEveryEpochs), ("sampleEveryEpochs", sampleEveryEpochs), ("evaluateEveryEpochs", evaluateEveryEpochs)] {
            try check(name, value, in: 0...100_000)
        }
        try checkTimesteps()
    }

    private func checkRates() throws(TrainingError) {
        let allowed = "above 0, at most 10; 1e-4 is usual"
        guard learningRate > 0, learningRate <= 10 else {
            throw .invalidSetting(setting: "learningRate", value: "\(learningRate)", allowed: allowed, nearest: learningRate > 10 ? "10.0" : "1e-06")
        }
        for (name, rate) in [("unetLearningRate", unetLearningRate), ("textEncoderLearningRate", textEncoderLearningRate)] {
            guard let rate else { continue }
            try check(name, rate, in: 0...10)
        }
        guard effectiveUNetRate > 0 || effectiveTextEncoderRate > 0 else {
            throw .contradiction("neither the UNet nor the text encoder would learn anything", wayOut: "Set a learning rate above 0 for one of them.")
        }
        try check("beta1", adamW.beta1, in: 0...0.9999)
        try check("beta2", adamW.beta2, in: 0...0.999999)
        try check("epsilon", adamW.epsilon, in: 1e-16...1)
        try check("weightDecay", adamW.weightDecay, in: 0...1)
    }

    private func checkSchedule() throws(TrainingError) {
        switch warmup {
        case .steps(let steps): try check("warmup", steps, in: 0...10_000_000)
        case .ratio(let ratio): try check("warmup", ratio, in: 0...1)
        }
        try check("cycles", cycles, in: 1...1000)
        try check("power", power, in: 0...10)
        try check("minimumRate", minimumRate, in: 0...1)
    }

    private func checkTimesteps() throws(TrainingError) {
        let low = minimumTimestep ?? 0, high = maximumTimestep ?? 1000
        try check("minimumTimestep", low, in: 0...999)
        try check("maximumTimestep", high, in: 1...1000)
        guard low < high else {
            throw .contradiction("the smallest timestep, \(low), is not below the largest, \(high)", wayOut: "Leave both out to draw from all timesteps.")
        }
    }

    private func check<T: Comparable>(_ setting: String, _ value: T, in range: ClosedRange<T>) throws(TrainingError) {
        guard range.contains(value) else {
            let nearest = value < range.lowerBound || !(value == value) ? range.lowerBound : range.upperBound
            throw .invalidSetting(setting: setting, value: "\(value)", allowed: "\(range.lowerBound) to \(range.upperBound)", nearest: "\(nearest)")
        }
    }
}
