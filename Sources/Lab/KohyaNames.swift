import Adapters
import Diffusion
import Kernel
import Training

/// One setting of a training run: how it is spelled, what it may be, and where it goes.
struct TrainingSetting: Sendable {
    let option: OptionSpecification
    /// Carries the values over, the last one where there can be only one.
    let apply: @Sendable (_ values: [OptionValue], inout TrainingConfiguration) throws -> Void

    static func integer(
        _ name: String, _ aliases: [String] = [], _ range: ClosedRange<Int>, _ summary: String, apply: @escaping @Sendable (inout TrainingConfiguration, Int) -> Void
    ) -> TrainingSetting {
        TrainingSetting(option: .init(name, aliases: aliases, .integer(range), summary)) { values, configuration in
            if case .integer(let value)? = values.last { apply(&configuration, value) }
        }
    }

    static func number(
        _ name: String, _ aliases: [String] = [], _ range: NumberRange, _ summary: String, apply: @escaping @Sendable (inout TrainingConfiguration, Double) -> Void
    ) -> TrainingSetting {
        TrainingSetting(option: .init(name, aliases: aliases, .number(range), summary)) { values, configuration in
            if case .number(let value)? = values.last { apply(&configuration, value) }
        }
    }

    static func flag(
        _ name: String, _ aliases: [String] = [], _ summary: String, apply: @escaping @Sendable (inout TrainingConfiguration, Bool) -> Void
    ) -> TrainingSetting {
        TrainingSetting(option: .init(name, aliases: aliases, .flag, summary)) { values, configuration in apply(&configuration, values.last == .flag(true)) }
    }

    static func word(
        _ name: String, _ aliases: [String] = [], _ kind: ValueKind, _ summary: String,
        apply: @escaping @Sendable (inout TrainingConfiguration, String) throws -> Void
    ) -> TrainingSetting {
        TrainingSetting(option: .init(name, aliases: aliases, kind, summary)) { values, configuration in
            if let value = values.last { try apply(&configuration, value.text) }
        }
    }
}

/// Kohya's names for the settings of a training run, with the short ones people type, their ranges and what they mean.
///
/// One table serves `%train`'s flags, `%%train`'s TOML, `%set`, completion and help. Names: sd-scripts' arguments. The texts are ours.
enum KohyaNames {
    /// How long and how much at a time.
    private static let length: [TrainingSetting] = [
        .integer("max_train_epochs", ["epochs", "epoch"], 1...100_000, "Epochs of this run: rounds through the pictures and their repeats.") {
            ($0.epochs, $0.maximumSteps) = ($1, nil)
        },
        .integer("max_train_steps", ["steps"], 1...10_000_000, "Steps of this run, instead of whole epochs.") { $0.maximumSteps = $1 },
        .integer("train_batch_size", ["batch_size", "batch"], 1...1024, "Pictures in one step.") { $0.batchSize = $1 },
        .integer("gradient_accumulation_steps", ["accumulation"], 1...1024, "Batches whose gradients are averaged before the adapter changes.") { $0.accumulation = $1 },
        .integer("seed", [], 0...Int(UInt32.max), "Same seed, same numbers on the same machine; drawn when not given. It holds for the adapter's whole life.") { $0.seed = UInt64($1) },
    ]

    /// How fast.
    private static let rates: [TrainingSetting] = [
        .number("learning_rate", ["lr"], .positive(upTo: 10), "How far a step goes. 1e-4 is the usual start with AdamW; the small embedded model takes 1e-3.") { $0.learningRate = $1 },
        .number("unet_lr", [], .nonNegative(upTo: 10), "Another rate for the UNet; 0 leaves the UNet as it is.") { $0.unetLearningRate = $1 },
        .number("text_encoder_lr", ["te_lr"], .nonNegative(upTo: 10), "A rate for the text encoder: above 0 it learns, too. 0 leaves it as it is.") {
            ($0.textEncoderLearningRate, $0.textEncoderTargets) = ($1, $1 > 0 ? .all : .none)
        },
        .word("lr_scheduler", ["scheduler"], .choice(ScheduleName.allCases.map(\.rawValue)), "How the rate changes over the run.") {
            $0.schedule = ScheduleName(rawValue: $1) ?? $0.schedule
        },
        .word("lr_warmup_steps", ["warmup", "lr_warmup"], .text, "Steps over which the rate rises from 0: a number, a fraction below 1, or a share such as 10%.") {
            $0.warmup = try warmup($1)
        },
        .integer("lr_scheduler_num_cycles", ["lr_cycles"], 1...1000, "How often cosine_with_restarts starts anew; with 1 it is cosine.") { $0.cycles = $1 },
        .number("lr_scheduler_power", ["lr_power"], .nonNegative(upTo: 10), "Exponent of polynomial; with 1 it is linear.") { $0.power = $1 },
        .number("lr_scheduler_min_lr_ratio", ["min_lr_ratio"], .positive(upTo: 1), "Where cosine_with_min_lr ends, as a part of the rate.") { $0.minimumRate = $1 },
        .word("optimizer_type", ["optimizer"], .choice(["AdamW", "AdamW8bit"]), "The rule of a step. AdamW8bit is AdamW with its state in full precision.") { _, _ in },
        OptimizerArguments.setting,
        .number("weight_decay", [], .nonNegative(upTo: 1), "How strongly AdamW pulls the adapter towards zero.") { $0.adamW.weightDecay = $1 },
        .number("max_grad_norm", ["clip"], .nonNegative(upTo: 1e6), "Gradients longer than this are shortened; 0 is off.") { $0.maximumGradientNorm = Float($1) },
    ]

    /// What is asked of the model, and how the answer is judged.
    private static let noise: [TrainingSetting] = [
        .integer("min_timestep", [], 0...999, "Noise levels are drawn from this timestep on.") { $0.minimumTimestep = $1 },
        .integer("max_timestep", [], 1...1000, "Noise levels are drawn from below this timestep; 1000 is all noise.") { $0.maximumTimestep = $1 },
        .word("loss_type", ["loss"], .choice(Objective.LossType.allCases.map(\.rawValue)), "How an error counts: squared (l2), as it is (l1), or squared near zero only (huber, smooth_l1).") {
            $0.objective.loss = Objective.LossType(rawValue: $1) ?? $0.objective.loss
        },
        .word("huber_schedule", [], .choice(Objective.HuberSchedule.allCases.map(\.rawValue)), "How the bound of huber and smooth_l1 follows the noise level.") {
            $0.objective.huberSchedule = Objective.HuberSchedule(rawValue: $1) ?? $0.objective.huberSchedule
        },
        .number("huber_c", [], .closed(1e-4...100), "Bound of huber and smooth_l1 where there is most noise; 0.1 when not given.") { $0.objective.huberThreshold = Float($1) },
        .number("huber_scale", [], .closed(1e-4...100), "Multiplies the bound of the schedules constant and exponential.") { $0.objective.huberScale = Float($1) },
        .flag("debiased_estimation_loss", ["debiased_estimation"], "Weighs noise levels by one over the root of signal to noise; instead of min_snr_gamma.") { $0.objective.debiasedEstimation = $1 },
        .number("min_snr_gamma", [], .positive(upTo: 1000), "Weighs noise levels by min-SNR; 5 is usual.") { $0.objective.minSNRGamma = Float($1) },
        .number("noise_offset", [], .nonNegative(upTo: 1), "Shifts the noise as a whole a little, so that brightness is learned; 0.05 is usual.") { $0.noiseOffset = Float($1) },
        .flag("noise_offset_random_strength", [], "Draws the shift's strength anew for each step, up to noise_offset.") { $0.noiseOffsetRandomStrength = $1 },
        .number("ip_noise_gamma", [], .nonNegative(upTo: 1), "Adds noise to what the model sees and not to what it is asked for (input perturbation); 0.1 is usual.") { $0.inputPerturbation = Float($1) },
        .number("prior_loss_weight", [], .nonNegative(upTo: 100), "Weight of regularisation pictures.") { $0.priorLossWeight = Float($1) },
    ]

    /// What is trained.
    private static let network: [TrainingSetting] = [
        .word("network_module", [], .choice(["networks.lora", "networks.dylora", "lycoris.kohya"]), "Kohya's name of the adapter's code; lycoris.kohya takes its type from network_args.") {
            switch $1 {
            case "networks.dylora": $0.network = .dylora()
            case "lycoris.kohya": $0.network = .locon
            default: $0.network = .standard
            }
        },
        .word("network", ["lora_type", "algo"], .choice(["lora", "locon", "loha", "lokr", "dylora"]), "The adapter's type: LoRA on linear layers, LoCon on 3×3 convolutions, too, LoHa and LoKr by products of products, DyLoRA good at every smaller rank.") {
            try NetworkArguments.set("algo", to: $1, &$0)
        },
        .integer("conv_dim", ["conv_rank"], 0...1024, "Rank of 3×3 convolutions; 0 leaves them alone. Not given, LoCon, LoHa and LoKr take the adapter's own, LoRA and DyLoRA leave them alone.") {
            $0.convolution = .init(rank: $1, alpha: $0.convolution?.alpha)
        },
        .number("conv_alpha", [], .nonNegative(upTo: 1e6), "Alpha of 3×3 convolutions; 0 means: as large as their rank.") {
            $0.convolution = .init(rank: $0.convolution?.rank ?? $0.rank, alpha: Float($1))
        },
        NetworkArguments.setting,
        .integer("network_dim", ["rank", "dim", "network_rank"], 1...1024, "Rank of the adapter. Changing it later carries over what was learned (singular value decomposition).") { $0.rank = $1 },
        .number("network_alpha", ["alpha"], .nonNegative(upTo: 1e6), "The adapter counts alpha ÷ rank; 0 means: as large as the rank.") { $0.alpha = Float($1) },
        .word("network_targets", ["targets"], .choice(["attention", "transformer"]), "UNet layers that learn: attention alone, or all of each transformer as Kohya's LoRA does.") {
            $0.unetTargets = UNetTargets(rawValue: $1) ?? $0.unetTargets
        },
        .flag("network_train_unet_only", ["unet_only"], "The text encoder stays as it is.") { if $1 { $0.textEncoderTargets = .none } },
        .flag("network_train_text_encoder_only", ["te_only", "text_encoder_only"], "The UNet stays as it is.") { if $1 { ($0.unetTargets, $0.textEncoderTargets) = (.none, .all) } },
        .word("max_token_length", [], .choice(["75", "150", "225"]), "Tokens of a caption that are read, in rows of 75.") { $0.tokenRows = (Int($1) ?? 75) / 75 },
        .integer("clip_skip", [], 1...32, "Reads the text encoder's n-th layer from the end.") { $0.clipSkip = $1 },
        .number("caption_dropout_rate", [], .closed(0...1), "Share of steps trained without words.") { $0.captions.dropoutRate = Float($1) },
        .integer("caption_dropout_every_n_epochs", [], 0...10_000, "Every so many epochs one is trained without words; 0 is never.") { $0.captions.dropoutEveryEpochs = $1 },
        .number("caption_tag_dropout_rate", ["tag_dropout"], .closed(0...1), "Probability that a caption's comma-separated part is left out; those of keep_tokens stay.") { $0.captions.tagDropoutRate = Float($1) },
        .word("caption_prefix", [], .sentence, "Words before each caption, in training only.") { $0.captions.prefix = $1 },
        .word("caption_suffix", [], .sentence, "Words after each caption, in training only.") { $0.captions.suffix = $1 },
        .word("caption_separator", [], .text, "What parts a caption for shuffling and for leaving parts out; a comma when not given.") { $0.captions.separator = $1 },
        .flag("shuffle_caption", [], "Changes the order of a caption's comma-separated parts at each use.") { $0.captions.shuffles = $1 },
        .integer("keep_tokens", [], 0...10_000, "Leading parts that shuffling leaves in place.") { $0.captions.keepTokens = $1 },
    ]

    /// What is kept and shown on the way.
    private static let keeping: [TrainingSetting] = [
        .flag("cache_latents", [], "Encodes each picture once and keeps the result in memory.") { $0.cachesLatents = $1 },
        .flag("gradient_checkpointing", [], "Computes again in the backward pass instead of remembering: less memory, slower.") { $0.recomputes = $1 },
        .word("memory", ["memory_limit"], .text, "Memory that the kernel may take, such as 4GB: as much is computed again in the backward pass as that needs.") {
            $0.memoryLimit = try bytes($1)
        },
        .integer("save_every_n_epochs", ["save_every"], 0...100_000, "Keeps the adapter every so many epochs, for %sample --epochs; 0 keeps only the last.") { $0.saveEveryEpochs = $1 },
        .word("output_dir", [], .path(.folder), "Writes the kept adapters here, too, named as Kohya names them.") { $0.outputFolder = $1 },
        .word("output_name", [], .text, "Name of the run, and of the files in output_dir.") { $0.outputName = $1 },
        .word("save_precision", [], .choice(SavePrecision.allCases.map(\.rawValue)), "Precision of the files.") { $0.savePrecision = SavePrecision(rawValue: $1) ?? $0.savePrecision },
        .integer("sample_every_n_epochs", ["sample_every"], 0...100_000, "Draws the sample prompts every so many epochs; 0 draws none.") { $0.sampleEveryEpochs = $1 },
        .flag("sample_at_first", [], "Draws the sample prompts before the first step, too.") { $0.samplesAtFirst = $1 },
        .integer("validate_every_n_epochs", [], 0...100_000, "Measures the loss on held-out pictures every so many epochs; 0 never.") { $0.evaluateEveryEpochs = $1 },
    ]

    /// Everything that goes into a configuration, in the order in which help lists it.
    static let settings = length + rates + noise + network + keeping

    /// Settings of a run that are no part of its configuration.
    static let extras: [OptionSpecification] = [
        .init("network_weights", aliases: ["weights"], .path(.file(["safetensors"])), "Starts from this adapter."),
        .init("sample_prompts", aliases: ["sample_file"], .path(.file(["txt"])), "A file of sample prompts, one a line, with Kohya's flags (--n --w --h --d --l --s --ss)."),
        .init("sample", aliases: ["sample_prompt"], .sentence, "A sample prompt, in quotes with flags of its own (\"a red cube --d 7\"); may be given several times.", isRepeatable: true),
        .init("sample_sampler", aliases: ["sampler"], .choice(SamplerKind.spellings), "Sampler of the sample prompts."),
        .init("sample_steps", .integer(1...1000), "Steps of the sample prompts."),
    ]

    static let all = settings.map(\.option) + extras

    /// `4GB`, `3.5GiB`, `800 MB`; a number alone means gigabytes.
    private static func bytes(_ text: String) throws(LabError) -> Int {
        let units: [(String, Double)] = [("gib", 0x1p30), ("mib", 0x1p20), ("gb", 1e9), ("mb", 1e6), ("g", 1e9), ("m", 1e6), ("", 1e9)]
        let plain = text.lowercased().filter { $0 != " " }, unit = units.first { plain.hasSuffix($0.0) } ?? ("", 1e9)
        guard let number = Double(plain.dropLast(unit.0.count)), number * unit.1 >= 1e8, number * unit.1 < 1e15 else {
            throw .invalid("memory must be an amount of 100 MB or more, got “\(text)”", wayOut: "For example --memory 4GB.")
        }
        return Int(number * unit.1)
    }

    /// `100`, `0.1` or `10%`.
    private static func warmup(_ text: String) throws(LabError) -> Warmup {
        let isShare = text.hasSuffix("%")
        guard let number = Double(isShare ? String(text.dropLast()) : text), number >= 0, number <= (isShare ? 100 : 1e7), number < 1 || isShare || number == number.rounded() else {
            throw .invalid("lr_warmup_steps must be a number of steps, a fraction below 1, or a share such as 10%, got “\(text)”", wayOut: "For example --warmup 10%.")
        }
        return isShare ? .ratio(number / 100) : number < 1 ? .ratio(number) : .steps(Int(number))
    }
}

extension KohyaNames {
    private static let graphicsCard = "it concerns graphics cards"
    private static let oneProcess = "this kernel is one process and reads pictures itself"
    private static let ownMagic = "%model and %dataset say which model and pictures"

    /// Keys that Kohya's GUI writes into its TOML and that have no effect here, with the reason.
    static let ignored: [String: String] = [
        "xformers": graphicsCard, "sdpa": graphicsCard, "mem_eff_attn": graphicsCard, "fp8_base": graphicsCard, "lowram": graphicsCard, "highvram": graphicsCard,
        "mixed_precision": "the engine computes in float32; %model --dtype says how weights are stored",
        "no_half_vae": "the autoencoder always runs in float32",
        "max_data_loader_n_workers": oneProcess, "persistent_data_loader_workers": oneProcess, "num_cpu_threads_per_process": oneProcess,
        "ddp_timeout": oneProcess, "dynamo_backend": oneProcess,
        "pretrained_model_name_or_path": ownMagic, "train_data_dir": ownMagic, "reg_data_dir": ownMagic, "resolution": ownMagic, "caption_extension": ownMagic,
        "enable_bucket": ownMagic, "bucket_no_upscale": ownMagic, "bucket_reso_steps": ownMagic, "min_bucket_reso": ownMagic, "max_bucket_reso": ownMagic,
        "vae_batch_size": "pictures are encoded one by one", "save_model_as": "adapters are always safetensors",
        "logging_dir": "runs are recorded by the kernel", "log_with": "runs are recorded by the kernel", "huggingface_path_in_repo": "nothing is uploaded",
        "huggingface_repo_id": "nothing is uploaded", "huggingface_repo_type": "nothing is uploaded", "wandb_run_name": "nothing is uploaded",
        "output_config": "%status shows the settings",
    ]
}

extension KohyaNames {
    /// How people type the settings that the configuration calls otherwise.
    private static let spellings: [String: String] = [
        "maximumSteps": "steps", "batchSize": "batch", "learningRate": "lr", "unetLearningRate": "unet_lr", "textEncoderLearningRate": "te_lr",
        "unetTargets": "targets", "textEncoderTargets": "text encoder", "schedule": "scheduler", "maximumGradientNorm": "clip", "clipSkip": "clip_skip",
        "noiseOffset": "noise_offset", "priorLossWeight": "prior_loss_weight", "cachesLatents": "cache_latents",
        "recomputes": "gradient_checkpointing", "memoryLimit": "memory", "outputName": "output_name", "outputFolder": "output_dir", "saveEveryEpochs": "save_every",
        "savePrecision": "save_precision", "cycles": "lr_scheduler_num_cycles", "power": "lr_scheduler_power", "minimumRate": "lr_scheduler_min_lr_ratio",
        "minimumTimestep": "min_timestep", "maximumTimestep": "max_timestep", "inputPerturbation": "ip_noise_gamma",
        "noiseOffsetRandomStrength": "noise_offset_random_strength", "loss": "loss_type", "huberSchedule": "huber_schedule", "huberThreshold": "huber_c",
        "huberScale": "huber_scale", "minSNRGamma": "min_snr_gamma", "debiasedEstimation": "debiased_estimation_loss", "epsilon": "eps",
        "dropoutRate": "caption_dropout_rate", "dropoutEveryEpochs": "caption_dropout_every_n_epochs", "tagDropoutRate": "caption_tag_dropout_rate",
        "shuffles": "shuffle_caption", "keepTokens": "keep_tokens", "prefix": "caption_prefix", "suffix": "caption_suffix", "separator": "caption_separator",
        "tokenRows": "max_token_length", "sampleEveryEpochs": "sample_every", "samplesAtFirst": "sample_at_first",
        "evaluateEveryEpochs": "validate_every_n_epochs", "weightDecay": "weight_decay",
    ]

    /// - Parameter property: a name in `TrainingConfiguration`.
    static func spelling(_ property: String) -> String { spellings[property] ?? property }

    /// `lr 0.001 → 0.0005`.
    static func words(_ change: ConfigurationChange) -> String { "\(spelling(change.setting)) \(change.before) → \(change.after)" }
}

extension Settings {
    /// Carries what was asked for over into a configuration.
    func apply(to configuration: inout TrainingConfiguration) throws {
        for setting in KohyaNames.settings {
            if let given = values[setting.option.name] { try setting.apply(given, &configuration) }
        }
        guard configuration.schedule != .cosineWithMinimum || configuration.minimumRate > 0 else {
            throw LabError.invalid(
                "cosine_with_min_lr has no end without lr_scheduler_min_lr_ratio",
                wayOut: "For example --lr_scheduler_min_lr_ratio 0.1, or --lr_scheduler cosine, which ends at 0.")
        }
    }

    /// What is accepted and yet does no more than another name says, a sentence each.
    ///
    /// - Parameter configuration: what came of the settings; nil while that is not known.
    func remarks(on configuration: TrainingConfiguration? = nil) -> [String] {
        var remarks: [String] = []
        if text("optimizer_type") == "AdamW8bit" { remarks.append("AdamW8bit is AdamW here: its state is kept in full precision.") }
        guard isGiven("lr_scheduler"), let configuration else { return remarks }
        if configuration.schedule == .cosineWithRestarts, configuration.cycles == 1 {
            remarks.append("cosine_with_restarts with one cycle is cosine; lr_scheduler_num_cycles gives it more.")
        }
        if configuration.schedule == .polynomial, configuration.power == 1 {
            remarks.append("polynomial of power 1 is linear; lr_scheduler_power bends it.")
        }
        return remarks
    }
}
