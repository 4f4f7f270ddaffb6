import Checkpoints
import Foundation
import Imaging
import Models
import Neural
import TensorCore
import TestSupport
import Testing

/// What `make_captioners.py` wrote, and its pictures by formula.
enum CaptionerFixture {
    static let folder = Golden.path("captioners")

    static func read<Value: Decodable>(_ name: String, as _: Value.Type) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name).json")))
    }

    static func bytes(_ key: String, _ count: Int) -> [UInt8] {
        let stream = CounterStream(seed: 0, key: key)
        return (0..<count).map { UInt8(min(stream.uniform(at: $0) * 256, 255)) }
    }

    static func picture(_ key: String, width: Int, height: Int) -> Pixels {
        Pixels(width: width, height: height, rgb: bytes(key, 3 * width * height))
    }

    /// A picture of one of PIL's modes, made of even areas unless it is narrow.
    static func picture(mode: String, width: Int, height: Int) -> Pixels {
        let channels = mode.count, data = bytes("\(mode).\(width)x\(height)", channels * width * height), isEven = min(width, height) > 30
        func byte(_ x: Int, _ y: Int, _ c: Int) -> UInt8 {
            isEven ? data[(y / 8 * width + x / 8) * channels + c] / 128 * 255 : data[(y * width + x) * channels + c]
        }
        var rgb: [UInt8] = [], alpha: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width {
                for c in 0..<3 { rgb.append(byte(x, y, channels == 1 ? 0 : c)) }
                if channels == 4 { alpha.append(byte(x, y, 3)) }
            }
        }
        return Pixels(width: width, height: height, rgb: rgb, alpha: channels == 4 ? alpha : nil)
    }

    static func temporaryFolder() -> String { FileManager.default.temporaryDirectory.appending(path: "captioner-\(UUID())").path }
}

/// Reads the formula's weights, those of the scale before the output layer doubled, as the fixture does.
private final class SharperWords: WeightSource {
    private let plain = FormulaWeights()
    let location = "weights by formula", keys: [String] = [], files: [MappedFile] = []
    func contains(_ key: String) -> Bool { true }
    func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        try plain.tensor(key, shape: shape) * (key.contains("transform.LayerNorm.weight") ? 2 : 1)
    }
}

/// CRC-32 (IEEE 802.3) of a tensor's bytes.
private func crc32(_ tensor: Tensor) -> UInt32 {
    let polynomial: UInt32 = 0xEDB8_8320
    var table: [UInt32] = []
    for byte in UInt32(0)..<256 {
        var entry = byte
        for _ in 0..<8 { entry = entry & 1 == 1 ? (entry >> 1) ^ polynomial : entry >> 1 }
        table.append(entry)
    }
    var crc = UInt32.max
    tensor.withUnsafeBytes { bytes in
        for byte in bytes {
            let index = UInt8(truncatingIfNeeded: crc) ^ byte
            crc = table[Int(index)] ^ (crc >> 8)
        }
    }
    return ~crc
}

@Suite struct CaptionersTests {
    private struct Generations: Decodable {
        let config: BLIP.Configuration
        let generations: [Fixture<BLIP.Configuration>.Generation]
    }

    @Test("tokens of greedy and beam search are transformers', from pictures to ids", arguments: ["base", "large"])
    func tokens(shape: String) throws {
        let fixture = try #require(try CaptionerFixture.read("generations", as: [String: Generations].self)[shape])
        let model = try BLIP(configuration: fixture.config, weights: Weights(SharperWords()))
        let tokenizer = try BERTTokenizer(folder: Golden.path("tokenizers/bert"))
        let captioner = BLIPCaptioner(model: model, tokenizer: tokenizer, location: "")
        let pictures = (0..<8).map { CaptionerFixture.picture("picture.\($0)", width: 50 - 5 * $0, height: 20 + 7 * $0) }
        let prepared = captioner.preprocessed(pictures)
        var ends = 0
        for generation in fixture.generations {
            var options = BLIP.GenerationOptions()
            options.maximumLength = Int(generation.options["max_length"] ?? 20)
            options.minimumLength = Int(generation.options["min_length"] ?? 0)
            options.repetitionPenalty = Float(generation.options["repetition_penalty"] ?? 1)
            options.lengthPenalty = Float(generation.options["length_penalty"] ?? 1)
            if let beams = generation.options["num_beams"] { options.search = .beams(Int(beams)) }
            let found = model.generate(prepared, prompt: generation.prompt, options: options)
            #expect(found == generation.rows, "\(generation.options) \(generation.prompt)")
            ends += found.count { $0.last == fixture.config.text.sepTokenID }
        }
        #expect(ends > 0)                                                // the rules of ends were put to the test
    }

    @Test("a folder as transformers writes it today is read: tokenizer.json, processor_config.json, float16")
    func folder() throws {
        struct Expected: Decodable { let ids: [Int], text: String }
        let expected = try CaptionerFixture.read("folder", as: Expected.self)
        guard case .blip(let captioner) = try CaptionModel.load(folder: CaptionerFixture.folder + "/blip") else {
            Issue.record("not taken for BLIP")
            return
        }
        let picture = CaptionerFixture.picture("folder", width: 67, height: 41)
        var options = BLIP.GenerationOptions()
        options.maximumLength = 16
        options.search = .beams(3)
        let prompt = captioner.tokenizer.tokenize("a picture of")
        #expect(captioner.model.generate(captioner.preprocessed([picture]), prompt: prompt, options: options) == [expected.ids])
        #expect(captioner.tokenizer.decode(expected.ids) == expected.text)
        let caption = try #require(captioner.caption(pictures: [picture], prompt: "a picture of", options: options).first)
        #expect(expected.text.hasSuffix(caption))
    }

    @Test("prepared pictures are PIL's bit by bit: BLIP's as transformers', the tagger's as timm's")
    func prepared() throws {
        struct Row: Decodable { let width: Int, height: Int, mode: String, blip: UInt32, tagger: UInt32 }
        let captioner = BLIPCaptioner(
            model: try BLIP(configuration: Self.tiny, weights: Weights(FormulaWeights())), tokenizer: try BERTTokenizer(folder: Golden.path("tokenizers/bert")),
            location: "")
        let tagger = try TaggerTests.tagger(classes: 1, size: 448)
        let rows = try CaptionerFixture.read("prepared", as: [Row].self)
        #expect(rows.count > 25)
        for row in rows {
            let picture = CaptionerFixture.picture(mode: row.mode, width: row.width, height: row.height)
            #expect(crc32(captioner.preprocessed([picture])) == row.blip, "BLIP \(row.mode) \(row.width)×\(row.height)")
            #expect(crc32(tagger.preprocessed([picture])) == row.tagger, "tagger \(row.mode) \(row.width)×\(row.height)")
        }
    }

    private static var tiny: BLIP.Configuration {
        var c = BLIP.Configuration()
        (c.vision.hiddenSize, c.vision.numAttentionHeads, c.vision.numHiddenLayers, c.vision.intermediateSize) = (2, 1, 1, 2)
        (c.text.hiddenSize, c.text.numAttentionHeads, c.text.numHiddenLayers, c.text.intermediateSize, c.text.vocabSize) = (2, 1, 1, 2, 4)
        c.text.encoderHiddenSize = 2
        return c
    }

    @Test("what is neither kind of captioner is told by name", arguments: [
        ("{\"model_type\": \"git\"}", "of model_type \"git\""), ("{\"_class_name\": \"UNet2DConditionModel\"}", "\"UNet2DConditionModel\" of diffusers"),
        ("{}", "without model_type or architecture"),
    ])
    func otherModels(config: String, found: String) throws {
        let folder = CaptionerFixture.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        #expect { try CaptionModel.load(folder: folder) } throws: { error in
            if case .unknownComponent(found, folder + "/config.json", _) = error as? ConfigurationError { true } else { false }
        }
        #expect(throws: ConfigurationError.self) { try CaptionModel.load(folder: folder + "/nowhere") }
    }
}
