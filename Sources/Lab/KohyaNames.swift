import Kernel

/// Kohya's names for the settings of a training run, with the short ones people type, their ranges and what they mean.
///
/// One table serves `%train`'s flags, `%%train`'s TOML, `%set`, completion and help. Names: sd-scripts' arguments. The texts are ours.
enum KohyaNames {
    /// How long and how much at a time.
    static let length: [OptionSpecification] = [
        .init("max_train_epochs", aliases: ["epochs", "epoch"], .integer(1...100_000), "Epochs to train from here on: rounds through the pictures and their repeats. 1 when neither this nor steps is given."),
        .init("max_train_steps", aliases: ["steps"], .integer(1...10_000_000), "Steps to train from here on, instead of whole epochs."),
        .init("train_batch_size", aliases: ["batch_size", "batch"], .integer(1...1024), "Pictures in one step."),
        .init("gradient_accumulation_steps", aliases: ["accumulation"], .integer(1...1024), "Batches whose gradients are averaged before the adapter changes."),
        .init("seed", .integer(0...Int(UInt32.max)), "Same seed, same numbers on the same machine."),
    ]

    /// How fast.
    static let rates: [OptionSpecification] = [
        .init("learning_rate", aliases: ["lr"], .number(.positive(upTo: 10)), "How far a step goes. 1e-4 is the usual start with AdamW; the small embedded model takes 1e-3."),
        .init("unet_lr", .number(.nonNegative(upTo: 10)), "Another rate for the UNet; 0 leaves the UNet as it is."),
        .init("text_encoder_lr", aliases: ["te_lr"], .number(.nonNegative(upTo: 10)), "Another rate for the text encoder; above 0 trains it too."),
        .init("lr_scheduler", aliases: ["scheduler"], .choice(["constant", "constant_with_warmup", "linear", "cosine"]), "How the rate changes over the run."),
        .init("lr_warmup_steps", aliases: ["warmup"], .text, "Steps over which the rate rises from 0: a number, a fraction below 1, or a share such as 10%."),
        .init("optimizer_type", aliases: ["optimizer"], .choice(["AdamW", "AdamW8bit"]), "The rule of the step. AdamW8bit saves memory on graphics cards; here it is AdamW in full precision."),
        .init("weight_decay", .number(.nonNegative(upTo: 1)), "How strongly AdamW pulls the adapter towards zero."),
        .init("max_grad_norm", aliases: ["clip"], .number(.nonNegative(upTo: 1e6)), "Gradients longer than this are shortened; 0 is off."),
    ]

    /// What is trained.
    static let network: [OptionSpecification] = [
        .init("network_dim", aliases: ["rank", "dim", "network_rank"], .integer(1...1024), "Rank of the adapter. Changing it later carries over what was learned (singular value decomposition)."),
        .init("network_alpha", aliases: ["alpha"], .number(.nonNegative(upTo: 1e6)), "Strength is alpha ÷ rank; 0 means: as large as the rank."),
        .init("network_weights", aliases: ["weights"], .path(.file(["safetensors"])), "Start from this adapter."),
        .init("network_train_unet_only", aliases: ["unet_only"], .flag, "Leave the text encoder as it is."),
        .init("network_train_text_encoder_only", aliases: ["te_only", "text_encoder_only"], .flag, "Leave the UNet as it is."),
        .init("clip_skip", .integer(1...12), "Read the text encoder's n-th layer from the end."),
    ]

    /// What is kept and shown on the way.
    static let keeping: [OptionSpecification] = [
        .init("cache_latents", .flag, "Encode each picture once and keep the result in memory."),
        .init("save_every_n_epochs", aliases: ["save_every"], .integer(0...100_000), "Keep the adapter every so many epochs, for %sample --epochs; 0 keeps none."),
        .init("output_dir", .path(.folder), "Write the kept adapters here, too, named as Kohya names them."),
        .init("output_name", .text, "Name of the run, and of the files in output_dir."),
        .init("save_precision", .choice(["float", "fp16", "bf16"]), "Precision of the files."),
        .init("sample_every_n_epochs", aliases: ["sample_every"], .integer(0...100_000), "Draw the sample prompts every so many epochs; 0 draws none."),
        .init("sample_prompts", aliases: ["sample_file"], .path(.file(["txt"])), "A file of sample prompts, one a line, with Kohya's flags (--n --w --h --d --l --s)."),
        .init("sample_sampler", aliases: ["sampler"], .choice(["ddim", "euler", "euler_a", "heun", "dpm++_2m", "dpm++_2m_karras"]), "Sampler of the sample prompts."),
        .init("sample", aliases: ["sample_prompt"], .sentence, "A sample prompt; may be given several times.", isRepeatable: true),
    ]

    /// Everything, in the order in which help lists it.
    static let all = length + rates + network + keeping
}

extension KohyaNames {
    private static let graphicsCard = "it concerns graphics cards"
    private static let oneProcess = "this kernel is one process and reads pictures itself"

    /// Keys that Kohya's GUI writes into its TOML and that have no effect here, with the reason.
    static let ignored: [String: String] = [
        "xformers": graphicsCard, "sdpa": graphicsCard, "mem_eff_attn": graphicsCard, "fp8_base": graphicsCard, "lowram": graphicsCard, "highvram": graphicsCard,
        "mixed_precision": "the engine computes in float32; %model --dtype sets how weights are stored",
        "no_half_vae": "the autoencoder always runs in float32", "gradient_checkpointing": "memory is watched by the engine",
        "max_data_loader_n_workers": oneProcess, "persistent_data_loader_workers": oneProcess, "num_cpu_threads_per_process": oneProcess,
        "ddp_timeout": oneProcess, "dynamo_backend": oneProcess,
        "vae_batch_size": "pictures are encoded one by one", "save_model_as": "adapters are always safetensors",
        "logging_dir": "runs are recorded by the kernel", "log_with": "runs are recorded by the kernel", "huggingface_path_in_repo": "nothing is uploaded",
        "huggingface_repo_id": "nothing is uploaded", "huggingface_repo_type": "nothing is uploaded", "wandb_run_name": "nothing is uploaded",
        "output_config": "%status shows the settings", "max_token_length": "captions are read up to 75 tokens",
    ]
}
