import Checkpoints
import Diffusion
import Foundation
import Models
import Neural

/// Everything that decides what the embedded model becomes: seeds, amounts, the networks' shapes, how long each learns.
///
/// The networks are told in the words of their own `config.json`, which is also what gets packaged.
public struct Recipe: Sendable {
    /// Side of every picture, pixels.
    public var pictureSize = 128
    /// Pictures rendered for training; seeds `seed ..< seed + pictures`.
    public var pictures = 12_000
    /// Drawn pictures of any style, which only the captioner learns from beside the rendered ones.
    public var drawnPictures = 4_000
    public var seed: UInt64 = 1
    /// First seed of the pictures that no training sees.
    public var unseenSeed: UInt64 = 1_000_000_000
    /// Pairs of symbols that the CLIP tokenizer may join; it stops earlier when every word of the captions is one token.
    public var merges = 900

    public var autoencoder = TrainingPlan(steps: 6_000, batch: 8, learningRate: 1.2e-3, warmupSteps: 1_500, averageDecay: 0.999)
    public var decoder = TrainingPlan(steps: 2_000, batch: 4, learningRate: 6e-4, averageDecay: 0.998)
    public var denoiser = TrainingPlan(steps: 9_000, batch: 16, learningRate: 8e-4, warmupSteps: 200, averageDecay: 0.999)
    public var captioner = TrainingPlan(steps: 9_000, batch: 16, learningRate: 8e-4, warmupSteps: 200)

    /// The autoencoder learns on crops of this side first, pixels; whole pictures in the last fifth of its steps.
    public var cropSize = 64
    /// Weight of the Kullback-Leibler divergence, a mean over the latent's elements, beside a mean over the picture's.
    public var divergenceWeight: Float = 2e-4
    /// Share of captions replaced by the empty one, so that guidance has an unconditional prediction to lean on.
    public var captionDropout = 0.1
    /// Deviation of what is added to the noise of a whole channel while the denoiser learns (Kohya's `noise_offset`): at the last
    /// timesteps some of the picture's brightness still shows through plain noise, and a network that leans on it draws dark
    /// backgrounds where the prompt says white.
    public var noiseOffset: Float = 0.15
    /// γ of min-SNR weighting (Hang et al. 2023, arXiv:2303.09556).
    public var minSNRGamma: Float = 5

    public init() {}

    static let autoencoderConfiguration = """
        {
          "_class_name": "AutoencoderKL",
          "act_fn": "silu",
          "block_out_channels": [16, 32, 64, 96],
          "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
          "in_channels": 3,
          "latent_channels": 8,
          "layers_per_block": 1,
          "mid_block_add_attention": false,
          "norm_num_groups": 4,
          "out_channels": 3,
          "sample_size": 128,
          "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
        }
        """

    static let denoiserConfiguration = """
        {
          "_class_name": "UNet2DConditionModel",
          "act_fn": "silu",
          "attention_head_dim": [2, 4, 6],
          "block_out_channels": [64, 128, 192],
          "center_input_sample": false,
          "cross_attention_dim": 128,
          "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
          "downsample_padding": 1,
          "flip_sin_to_cos": true,
          "freq_shift": 0,
          "in_channels": 8,
          "layers_per_block": 1,
          "mid_block_scale_factor": 1,
          "norm_eps": 1e-05,
          "norm_num_groups": 16,
          "out_channels": 8,
          "sample_size": 16,
          "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
        }
        """

    /// Places of a prompt, its two ends included: the longest caption and a few words more. With CLIP's 77 most places would be
    /// padding, and cross-attention learns much more slowly to find the words among it.
    static let promptTokens = 40

    /// `vocab_size`, `bos_token_id` and `eos_token_id` are filled in once the tokenizer has been trained.
    static let textEncoderConfiguration = """
        {
          "architectures": ["CLIPTextModel"],
          "hidden_act": "quick_gelu",
          "hidden_size": 128,
          "intermediate_size": 512,
          "layer_norm_eps": 1e-05,
          "model_type": "clip_text_model",
          "num_attention_heads": 4,
          "num_hidden_layers": 3,
          "projection_dim": 128
        }
        """

    static let schedulerConfiguration = """
        {
          "_class_name": "DDIMScheduler",
          "beta_end": 0.012,
          "beta_schedule": "scaled_linear",
          "beta_start": 0.00085,
          "clip_sample": false,
          "num_train_timesteps": 1000,
          "prediction_type": "epsilon",
          "set_alpha_to_one": false,
          "steps_offset": 1,
          "timestep_spacing": "leading"
        }
        """

    static let captionerConfiguration = """
        {
          "architectures": ["BlipForConditionalGeneration"],
          "model_type": "blip",
          "text_config": {
            "hidden_act": "gelu",
            "hidden_size": 128,
            "intermediate_size": 512,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 3
          },
          "vision_config": {
            "hidden_act": "gelu",
            "hidden_size": 128,
            "image_size": 128,
            "intermediate_size": 512,
            "layer_norm_eps": 1e-05,
            "num_attention_heads": 4,
            "num_hidden_layers": 4,
            "patch_size": 16
          }
        }
        """

    // MARK: - The networks with fresh weights

    /// - Parameter scale: `scaling_factor`, 1 until the trained latents' deviation is known.
    static func autoencoder(seed: UInt64, scale: Float = 1) throws -> AutoencoderKL {
        var configuration: AutoencoderKL.Configuration = try decode(autoencoderConfiguration)
        configuration.scalingFactor = Double(scale)
        return try AutoencoderKL(configuration: configuration, weights: Weights(FreshWeights(seed: seed)))
    }

    static func denoiser(seed: UInt64) throws -> UNet {
        try UNet(configuration: decode(denoiserConfiguration), weights: Weights(FreshWeights(seed: seed &+ 1)))
    }

    static func textEncoder(_ tokenizer: CLIPTokenizer, seed: UInt64) throws -> CLIPTextEncoder {
        var configuration: CLIPTextEncoder.Configuration = try decode(textEncoderConfiguration)
        configuration.maxPositionEmbeddings = promptTokens
        configuration.vocabSize = tokenizer.vocabularySize
        configuration.eosTokenID = tokenizer.endID
        return try CLIPTextEncoder(configuration: configuration, weights: Weights(FreshWeights(seed: seed &+ 2)))
    }

    static func captioner(_ tokenizer: BERTTokenizer, seed: UInt64) throws -> BLIP {
        var configuration: BLIP.Configuration = try decode(captionerConfiguration)
        configuration.text.vocabSize = tokenizer.vocabularySize
        configuration.text.bosTokenID = tokenizer.id("[DEC]") ?? tokenizer.classID
        configuration.text.sepTokenID = tokenizer.separatorID
        configuration.text.padTokenID = tokenizer.padID
        return try BLIP(configuration: configuration, weights: Weights(FreshWeights(seed: seed &+ 3)))
    }

    static func scheduler() throws -> SchedulerConfiguration { try decode(schedulerConfiguration) }

    private static func decode<T: Decodable>(_ text: String) throws -> T { try JSONDecoder().decode(T.self, from: Data(text.utf8)) }
}
