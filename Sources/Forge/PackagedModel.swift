import Checkpoints
import Foundation
import Models
import Neural
import TensorCore

/// Writes the embedded model as diffusers and transformers lay out a pipeline's folder, weights in float16.
struct PackagedModel {
    let autoencoder: AutoencoderKL
    let denoiser: UNet
    let textEncoder: CLIPTextEncoder
    let captioner: BLIP
    let vocabularies: Vocabularies
    let workshop: Workshop

    func write(to folder: String) throws {
        try write(autoencoder.registry, autoencoder.configuration, "AutoencoderKL", to: folder + "/vae", "diffusion_pytorch_model.safetensors")
        try write(denoiser.registry, denoiser.configuration, "UNet2DConditionModel", to: folder + "/unet", "diffusion_pytorch_model.safetensors")
        try write(textEncoder.registry, textEncoder.configuration, nil, to: folder + "/text_encoder", "model.safetensors")
        try write(captioner.registry, captioner.configuration, nil, to: folder + "/captioner", "model.safetensors")
        try copy(workshop.tokenizerPath, to: folder + "/tokenizer")
        try copy(workshop.captionerVocabularyPath, to: folder + "/captioner/vocab.txt")
        try write(Self.preprocessor(size: captioner.configuration.vision.imageSize), to: folder + "/captioner/preprocessor_config.json")
        try write(Recipe.schedulerConfiguration + "\n", to: folder + "/scheduler/scheduler_config.json")
        try write(Self.index, to: folder + "/model_index.json")
    }

    private func write(_ registry: Registry, _ configuration: some Encodable, _ className: String?, to folder: String, _ file: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try ConfigurationFile.write(configuration, className: className, to: folder + "/config.json")
        try registry.write(to: folder + "/" + file, dtype: .float16)
    }

    private func write(_ text: String, to path: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    private func copy(_ source: String, to target: String) throws {
        if FileManager.default.fileExists(atPath: target) { try FileManager.default.removeItem(atPath: target) }
        try FileManager.default.copyItem(atPath: source, toPath: target)
    }

    private static let index = """
        {
          "_class_name": "StableDiffusionPipeline",
          "feature_extractor": [null, null],
          "requires_safety_checker": false,
          "safety_checker": [null, null],
          "scheduler": ["diffusers", "DDIMScheduler"],
          "text_encoder": ["transformers", "CLIPTextModel"],
          "tokenizer": ["transformers", "CLIPTokenizer"],
          "unet": ["diffusers", "UNet2DConditionModel"],
          "vae": ["diffusers", "AutoencoderKL"]
        }

        """

    private static func preprocessor(size: Int) -> String {
        """
        {
          "do_convert_rgb": true,
          "do_normalize": true,
          "do_rescale": true,
          "do_resize": true,
          "image_mean": \(CaptionerPixels.mean),
          "image_processor_type": "BlipImageProcessor",
          "image_std": \(CaptionerPixels.deviation),
          "resample": 3,
          "rescale_factor": 0.00392156862745098,
          "size": {"height": \(size), "width": \(size)}
        }

        """
    }
}
