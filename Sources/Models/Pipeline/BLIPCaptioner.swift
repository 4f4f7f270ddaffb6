import Checkpoints
import Foundation
import Neural
import TensorCore

/// A captioner with its vocabulary and its way of preparing pictures.
public final class BLIPCaptioner: Sendable {
    public let model: BLIP
    public let tokenizer: BERTTokenizer
    public let location: String
    private let preprocessor: Preprocessor

    /// Mean and standard deviation of each colour, for values in 0...1; the defaults are CLIP's.
    public struct Preprocessor: Codable, Sendable {
        public var imageMean: [Float] = [0.48145466, 0.4578275, 0.40821073]
        public var imageStd: [Float] = [0.26862954, 0.26130258, 0.27577711]

        public init() {}

        enum CodingKeys: String, CodingKey { case imageMean = "image_mean", imageStd = "image_std" }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.imageMean, into: &imageMean)
            try c.read(.imageStd, into: &imageStd)
            guard imageMean.count == 3, imageStd.count == 3, imageStd.allSatisfy({ $0 > 0 }) else {
                throw ConfigurationError.invalid(
                    key: "image_mean, image_std", value: "\(imageMean), \(imageStd)", expected: "three numbers each, deviations above 0")
            }
        }
    }

    public init(model: BLIP, tokenizer: BERTTokenizer, preprocessor: Preprocessor = Preprocessor(), location: String) {
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessor = preprocessor
        self.location = location
    }

    /// Reads a folder of transformers' layout: `config.json`, weights, `vocab.txt`, `preprocessor_config.json`.
    public static func load(folder: String, precision: DType? = nil) throws -> BLIPCaptioner {
        let model = try BLIP(
            configuration: ConfigurationFile.read(BLIP.Configuration.self, folder + "/config.json"),
            weights: Weights(WeightFolder.open(folder), precision: precision))
        let tokenizer = try BERTTokenizer(vocabulary: folder + "/vocab.txt", added: ["[DEC]", "[ENC]"])
        let preprocessor = try ConfigurationFile.read(Preprocessor.self, folder + "/preprocessor_config.json")
        return BLIPCaptioner(model: model, tokenizer: tokenizer, preprocessor: preprocessor, location: folder)
    }

    /// Pixels along a side of the pictures it takes; others are resized to this square first (bicubic, aspect not kept).
    public var imageSize: Int { model.configuration.vision.imageSize }

    /// Writes captions.
    ///
    /// - Parameters:
    ///   - pixels: `[B, imageSize, imageSize, 3]` in -1...1.
    ///   - prompt: words that the caption continues ("a picture of"); they are not part of the result.
    /// - Returns: one caption for each picture.
    public func caption(
        _ pixels: Tensor, prompt: String = "", options: BLIP.GenerationOptions = .init(), isCancelled: () -> Bool = { false }
    ) -> [String] {
        let ids = tokenizer.tokenize(prompt)
        return model.generate(normalised(pixels), prompt: ids, options: options, isCancelled: isCancelled)
            .map { tokenizer.decode(Array($0.dropFirst(1 + ids.count))) }
    }

    /// Pixels in -1...1 as the model was trained on them: `((x + 1)/2 − mean) / deviation` for each colour.
    public func normalised(_ pixels: Tensor) -> Tensor {
        let factor = Tensor(preprocessor.imageStd.map { 0.5 / $0 }, shape: [3])
        let shift = Tensor(zip(preprocessor.imageMean, preprocessor.imageStd).map { (0.5 - $0) / $1 }, shape: [3])
        return pixels * factor + shift
    }

    /// Writes the captioner as a folder that `load` and transformers read.
    ///
    /// - Parameters:
    ///   - folder: must not exist.
    ///   - vocabulary: path of `vocab.txt`, which is copied.
    public func write(to folder: String, vocabulary: String, dtype: DType? = nil) throws {
        try WholeFolder.write(to: folder) { partial in
            try ConfigurationFile.write(model.configuration, to: partial + "/config.json")
            try ConfigurationFile.write(preprocessor, to: partial + "/preprocessor_config.json")
            try model.registry.write(to: partial + "/model.safetensors", dtype: dtype)
            try FileManager.default.copyItem(atPath: vocabulary, toPath: partial + "/vocab.txt")
        }
    }
}
