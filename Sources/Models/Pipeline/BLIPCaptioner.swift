import Checkpoints
import Foundation
import Imaging
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
        /// Bytes are multiplied by it first.
        public var rescaleFactor: Double = 1 / 255
        public var imageMean: [Float] = [0.48145466, 0.4578275, 0.40821073]
        public var imageStd: [Float] = [0.26862954, 0.26130258, 0.27577711]

        public init() {}

        enum CodingKeys: String, CodingKey { case rescaleFactor = "rescale_factor", imageMean = "image_mean", imageStd = "image_std" }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            try c.read(.rescaleFactor, into: &rescaleFactor)
            try c.read(.imageMean, into: &imageMean)
            try c.read(.imageStd, into: &imageStd)
            guard imageMean.count == 3, imageStd.count == 3, imageStd.allSatisfy({ $0 > 0 }) else {
                throw ConfigurationError.invalid(
                    key: "image_mean, image_std", value: "\(imageMean), \(imageStd)", expected: "three numbers each, deviations above 0")
            }
        }

        /// `preprocessor_config.json`, or the same values in `processor_config.json`, where transformers 5 writes them.
        static func read(folder: String) throws -> Preprocessor {
            let path = folder + "/preprocessor_config.json", newer = folder + "/processor_config.json"
            let isNewer = !FileManager.default.fileExists(atPath: path) && FileManager.default.fileExists(atPath: newer)
            return isNewer ? try ConfigurationFile.read(Whole.self, newer).image_processor : try ConfigurationFile.read(Preprocessor.self, path)
        }

        private struct Whole: Decodable { let image_processor: Preprocessor }
    }

    public init(model: BLIP, tokenizer: BERTTokenizer, preprocessor: Preprocessor = Preprocessor(), location: String) {
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessor = preprocessor
        self.location = location
    }

    /// Reads a folder of transformers' layout: `config.json`, weights, `vocab.txt` (or `tokenizer.json`), `preprocessor_config.json`
    /// (or `processor_config.json`).
    public static func load(folder: String, precision: DType? = nil) throws -> BLIPCaptioner {
        let model = try BLIP(
            configuration: ConfigurationFile.read(BLIP.Configuration.self, folder + "/config.json"),
            weights: Weights(WeightFolder.open(folder), precision: precision))
        try model.registry.requireUnchanged()       // as the numbers that were copied meanwhile
        let tokenizer = try BERTTokenizer(folder: folder, added: ["[DEC]", "[ENC]"])
        return BLIPCaptioner(model: model, tokenizer: tokenizer, preprocessor: try Preprocessor.read(folder: folder), location: folder)
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
            .map { continuation($0, of: ids) }
    }

    /// Writes captions for pictures of any size.
    ///
    /// - Parameter prompt: words that the caption continues ("a picture of"); they are not part of the result.
    public func caption(
        pictures: [Pixels], prompt: String = "", options: BLIP.GenerationOptions = .init(), isCancelled: () -> Bool = { false }
    ) -> [String] {
        guard !pictures.isEmpty else { return [] }
        let ids = tokenizer.tokenize(prompt)
        return model.generate(preprocessed(pictures), prompt: ids, options: options, isCancelled: isCancelled)
            .map { continuation($0, of: ids) }
    }

    /// The text of a caption's ids, start token and prompt included, without the prompt's text. Decoded as a whole: what follows the
    /// prompt may begin in the middle of a word.
    private func continuation(_ caption: [Int], of prompt: [Int]) -> String {
        UnicodeText.trimmed(String(tokenizer.decode(caption).unicodeScalars.dropFirst(tokenizer.decode(prompt).unicodeScalars.count)))
    }

    /// Pictures as the model takes them, bit for bit as transformers' `BlipImageProcessor` makes them with PIL: what is transparent
    /// laid on white, resized (bicubic, aspect not kept, rounded to bytes), scaled, normalised in float32.
    ///
    /// PIL leaves pictures as they are stored; `Picture.load` has turned them upright, as transformers' own `load_image` does.
    /// - Returns: `[B, imageSize, imageSize, 3]`.
    public func preprocessed(_ pictures: [Pixels]) -> Tensor {
        let side = imageSize, p = preprocessor
        let values = (0..<3).map { c in (0...255).map { (Float(Double($0) * p.rescaleFactor) - p.imageMean[c]) / p.imageStd[c] } }
        return Tensor(shape: [pictures.count, side, side, 3]) { target in
            var place = 0
            for picture in pictures {
                for (i, byte) in picture.flattened().resized(width: side, height: side, filter: .bicubic).rgb.enumerated() {
                    target[place + i] = values[i % 3][Int(byte)]
                }
                place += 3 * side * side
            }
        }
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
