import Kernel
import Lab
import Testing
import Training

@Suite("Settings")
struct SettingsTests {
    private func configuration(_ arguments: String, body: String? = nil) throws -> TrainingConfiguration {
        try Settings.configuration(trainArguments: arguments, body: body)
    }

    @Test("Kohya's names and the short ones mean the same", arguments: [
        ("--network_dim 4 --network_alpha 2 --learning_rate 5e-4 --max_train_epochs 7 --train_batch_size 3", "--rank 4 --alpha 2 --lr 5e-4 --epochs 7 --batch 3"),
        ("--lr_scheduler cosine --lr_warmup_steps 10%", "--scheduler=cosine --warmup 10%"),
        ("--max-grad-norm 0.5", "--clip 0.5"),
        ("--text_encoder_lr 1e-5", "--te-lr 1e-5"),
    ])
    func names(long: String, short: String) throws {
        let (a, b) = (try configuration(long), try configuration(short))
        #expect(a == b)
        #expect(a != TrainingConfiguration())
    }

    @Test("every value arrives where it belongs")
    func values() throws {
        let c = try configuration(
            "--rank 16 --alpha 8 --lr 2e-4 --unet_lr 1e-4 --te_lr 5e-5 --epochs 4 --batch 2 --accumulation 3 --seed 9 --scheduler linear --warmup 20 --weight_decay 0.1 --clip 2 --clip_skip 2 --no-cache_latents --save_every 2 --output_name cat --save_precision bf16 --min_snr_gamma 5 --noise_offset 0.05 --targets attention")
        #expect((c.rank, c.alpha, c.learningRate) == (16, 8, 2e-4))
        #expect((c.unetLearningRate, c.textEncoderLearningRate, c.textEncoderTargets) == (1e-4, 5e-5, .all))
        #expect((c.epochs, c.batchSize, c.accumulation, c.seed) == (4, 2, 3, 9))
        #expect(c.schedule == .linear && c.warmup == .steps(20))
        #expect((c.adamW.weightDecay, c.maximumGradientNorm, c.clipSkip) == (0.1, 2, 2))
        #expect((c.cachesLatents, c.saveEveryEpochs, c.outputName, c.savePrecision) == (false, 2, "cat", .bf16))
        #expect((c.objective.minSNRGamma, c.noiseOffset, c.unetTargets) == (5, 0.05, .attention))
    }

    /// What is asked for, and the property that it reaches with its value.
    private static let reached: [(String, String, String)] = [
        ("--lr_scheduler_num_cycles 3", "cycles", "3"), ("--lr_scheduler_power 2", "power", "2.0"), ("--lr_scheduler_min_lr_ratio 0.1", "minimumRate", "0.1"),
        ("--optimizer_args betas=0.8,0.95", "beta1", "0.8"), ("--optimizer_args betas=(0.8, 0.95) eps=1e-6", "beta2", "0.95"),
        ("--optimizer_args eps=1e-6 weight_decay=0.2", "epsilon", "1e-06"), ("--optimizer_args eps=1e-6 --optimizer_args weight_decay=0.2", "weightDecay", "0.2"),
        ("--min_timestep 100", "minimumTimestep", "100"), ("--max_timestep 600", "maximumTimestep", "600"), ("--loss_type smooth_l1", "loss", "smoothL1"),
        ("--huber_schedule exponential", "huberSchedule", "exponential"), ("--huber_c 0.3", "huberThreshold", "0.3"), ("--huber_scale 2", "huberScale", "2.0"),
        ("--debiased_estimation_loss", "debiasedEstimation", "true"), ("--noise_offset_random_strength", "noiseOffsetRandomStrength", "true"),
        ("--ip_noise_gamma 0.1", "inputPerturbation", "0.1"), ("--caption_tag_dropout_rate 0.5", "tagDropoutRate", "0.5"),
        ("--caption_dropout_every_n_epochs 2", "dropoutEveryEpochs", "2"), ("--caption_prefix in pastels,", "prefix", "in pastels,"),
        ("--caption_suffix at dusk", "suffix", "at dusk"), ("--caption_separator ;", "separator", ";"), ("--sample_at_first", "samplesAtFirst", "true"),
        ("--validate_every_n_epochs 0", "evaluateEveryEpochs", "0"),
    ]

    @Test("a setting reaches its property", arguments: reached)
    func reaching(arguments: String, property: String, value: String) throws {
        #expect(try configuration(arguments).settings.first { $0.name == property }?.text == value)
        #expect(TrainingConfiguration().settings.first { $0.name == property }?.text != value)
    }

    @Test("optimizer_args of a TOML are a list or one text, as Kohya's GUI writes them", arguments: [
        #"optimizer_args = ["betas=0.8,0.9", "eps=1e-7"]"#, #"optimizer_args = "betas=0.8,0.9 eps=1e-7""#, #"optimizer_args = ["betas=(0.8, 0.9)", "eps=0.0000001"]"#,
    ])
    func optimizerArguments(body: String) throws {
        let adamW = try configuration("", body: body).adamW
        #expect((adamW.beta1, adamW.beta2, adamW.epsilon, adamW.weightDecay) == (0.8, 0.9, 1e-7, 0.01))
    }

    @Test("the warm-up as steps, fraction and share", arguments: [("100", Warmup.steps(100)), ("0.1", .ratio(0.1)), ("10%", .ratio(0.1)), ("0", .ratio(0))])
    func warmup(text: String, expected: Warmup) throws {
        #expect(try configuration("--warmup \(text)").warmup == expected)
    }

    @Test("parts of the model are switched by Kohya's flags")
    func parts() throws {
        #expect(try configuration("--te_lr 1e-5 --network_train_unet_only").textEncoderTargets == .none)
        let text = try configuration("--network_train_text_encoder_only")
        #expect(text.unetTargets == .none && text.textEncoderTargets == .all)
    }

    @Test("a TOML of Kohya's is read, whatever its sections")
    func toml() throws {
        let c = try configuration("", body: """
            [network]
            network_dim = 32
            network_alpha = 16
            [training]
            learning_rate = 0.0001
            max_train_epochs = 10
            lr_scheduler = "cosine"
            lr_warmup_steps = 0.1
            cache_latents = true
            xformers = true
            """)
        #expect((c.rank, c.alpha, c.learningRate, c.epochs) == (32, 16, 1e-4, 10))
        #expect(c.warmup == .ratio(0.1) && c.schedule == .cosine && c.cachesLatents)
    }

    @Test("flags on the line are over the TOML's")
    func order() throws {
        #expect(try configuration("--lr 1e-5", body: "learning_rate = 1e-3").learningRate == 1e-5)
    }

    @Test("what is wrong is told with the range, the name and the nearest one", arguments: [
        ("--rank 0", "a whole number from 1 to 1024"), ("--lr -1", "above 0"), ("--epochs 1e9", "from 1 to 100000"), ("--lrr 1e-4", "--lr"),
        ("--scheduler cosin", "cosine"), ("--scheduler cosine_with_min_lr", "lr_scheduler_min_lr_ratio"), ("--optimizer_args momentum=0.9", "betas, eps and weight_decay"),
        ("--optimizer_args betas=0.9", "two numbers"), ("--optimizer_args eps=small", "a number"), ("--optimizer_args fast", "key=value"), ("--min_timestep 1000", "0 to 999"), ("--warmup soon", "10%"), ("--batch two", "whole number"), ("--lr nan", "above 0"),
    ])
    func mistakes(arguments: String, expected: String) {
        #expect { try configuration(arguments) } throws: { error in
            let said = (error as? MagicError).map { $0.message + ($0.hint ?? "") } ?? (error as? LabError).map { $0.description + ($0.wayOut ?? "") } ?? ""
            return said.contains(expected)
        }
    }

    @Test("a TOML's mistakes name the key, or the cell's line and column with what was found", arguments: [
        ("[[[a]]]", "line 2, column 3"), ("[$x]", "found “$”, in “[$x]”"), ("[a]\n  scheduler = cosine", "found “cosine”; text stands in quotes, in “scheduler = cosine”"),
        ("rank = 4\nrank = 8", "“rank” stands on line 2 already"), ("lr = [1979-05-27]", "lr = [1979-05-27] is neither"), (String(repeating: "[", count: 100_000), "line 2"),
        ("learning_rat = 1e-4", "learning_rate"), ("learning_rate = ", "line 2, column 17"), ("network_dim = 0", "1 to 1024"), ("a = 1979-05-27", "no setting"),
        ("learning_rate = 1e-4\nnetwork_dim = = 3", "line 3, column 15"),
    ])
    func tomlMistakes(body: String, expected: String) {
        #expect { try configuration("", body: body) } throws: { error in
            let said = (error as? MagicError).map { $0.message + ($0.hint ?? "") } ?? (error as? LabError).map { $0.description + ($0.wayOut ?? "") } ?? ""
            return said.contains(expected)
        }
    }
}
