import Adapters
import Checkpoints
import Datasets
import Diffusion
import Foundation
import Imaging
import Models
import Neural
import TensorCore
import Training

/// A model with fresh weights and a folder of made pictures, small enough that a run takes a fraction of a second.
final class TinyStudio {
    let path: String
    let model: DiffusionModel
    let dataset: Dataset
    let heldOut: Dataset

    static let options = DatasetOptions(resolution: PixelSize(16, 16), buckets: BucketOptions(minimumSide: 8, maximumSide: 32, step: 8))

    init(pictures: Int = 4, repeats: Int = 2) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "loralab-\(UUID().uuidString)").path
        for i in 0..<pictures { try Self.picture("\(path)/train/\(repeats)_style", i, width: i % 2 == 0 ? 16 : 24) }
        for i in 0..<2 { try Self.picture("\(path)/held/1_style", 100 + i, width: 16) }
        model = try Self.makeModel()
        dataset = try Dataset("\(path)/train", options: Self.options)
        heldOut = try Dataset("\(path)/held", options: Self.options)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    private static func picture(_ folder: String, _ index: Int, width: Int) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let rgb = (0..<width * 16 * 3).map { UInt8(truncatingIfNeeded: $0 &* (index + 3) &+ index &* 40) }
        try Data(PNG.encode(Pixels(width: width, height: 16, rgb: rgb))).write(to: URL(filePath: "\(folder)/\(index).png"))
        try Data("style, tag\(index % 3), red, shiny".utf8).write(to: URL(filePath: "\(folder)/\(index).txt"))
    }

    /// Two levels everywhere: 2 pixels to a latent cell, sides in multiples of 4.
    ///
    /// - Parameter folder: where the denoiser's weights are written to and read from again; nil keeps them in memory.
    static func makeModel(prediction: PredictionType = .epsilon, denoiserIn folder: String? = nil) throws -> DiffusionModel {
        var unet = UNet.Configuration()
        unet.blockOutChannels = [8, 16]
        unet.downBlockTypes = ["CrossAttnDownBlock2D", "DownBlock2D"]
        unet.upBlockTypes = ["UpBlock2D", "CrossAttnUpBlock2D"]
        unet.layersPerBlock = 1
        unet.normNumGroups = 4
        unet.crossAttentionDim = 12
        unet.attentionHeadDim = 2
        var text = CLIPTextEncoder.Configuration()
        text.vocabSize = 520
        text.hiddenSize = 12
        text.intermediateSize = 24
        text.numHiddenLayers = 2
        text.numAttentionHeads = 2
        text.maxPositionEmbeddings = 8
        text.eosTokenID = 513
        var autoencoder = AutoencoderKL.Configuration()
        autoencoder.blockOutChannels = [8, 8]
        autoencoder.downBlockTypes = ["DownEncoderBlock2D", "DownEncoderBlock2D"]
        autoencoder.upBlockTypes = ["UpDecoderBlock2D", "UpDecoderBlock2D"]
        autoencoder.normNumGroups = 4
        autoencoder.midBlockAddAttention = false
        autoencoder.scalingFactor = 0.9
        let base = BaseModel(
            location: "tiny", text: .init(tokenizer: try tokenizer(), encoder: try CLIPTextEncoder(configuration: text, weights: Weights(FreshWeights(seed: 2)))),
            unet: try UNet(configuration: unet, weights: Weights(denoiserWeights(unet, in: folder))),
            autoencoder: try AutoencoderKL(configuration: autoencoder, weights: Weights(FreshWeights(seed: 3))), schedulerConfiguration: Data("{}".utf8))
        return DiffusionModel(base, schedule: NoiseSchedule(SchedulerConfiguration(predictionType: prediction)), name: "tiny")
    }

    private static func denoiserWeights(_ configuration: UNet.Configuration, in folder: String?) throws -> any WeightSource {
        let fresh = FreshWeights(seed: 1)
        guard let folder else { return fresh }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try UNet(configuration: configuration, weights: Weights(fresh)).registry.write(to: folder + "/unet.safetensors")
        return try SafetensorsFile(path: folder + "/unet.safetensors")
    }

    /// Letters and a few joined words; eight ids in all.
    private static func tokenizer() throws -> CLIPTokenizer {
        let folder = FileManager.default.temporaryDirectory.appending(path: "loralab-tokenizer-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let merges = ["c u", "cu b", "cub e</w>", "b a", "ba l", "bal l</w>"].map { $0.split(separator: " ").map(String.init) }
        try CLIPVocabulary(merges: merges.map { ($0[0], $0[1]) }).write(folder: folder, modelMaxLength: 8)
        return try CLIPTokenizer(folder: folder)
    }

    static func configuration(_ change: (inout TrainingConfiguration) -> Void = { _ in }) -> TrainingConfiguration {
        var c = TrainingConfiguration()
        c.epochs = 2
        c.batchSize = 2
        c.rank = 4
        c.learningRate = 1e-2
        c.schedule = .cosine
        c.seed = 7
        change(&c)
        return c
    }

    /// A trainer over a model of its own, so that two can be compared.
    func trainer(heldOut usesHeldOut: Bool = false, _ change: (inout TrainingConfiguration) -> Void = { _ in }) throws -> Trainer {
        try Trainer(model: Self.makeModel(), dataset: dataset, heldOut: usesHeldOut ? heldOut : nil, configuration: Self.configuration(change))
    }
}

extension Trainer {
    /// Every trained number, to be compared bit for bit.
    var bits: [UInt32] { network.parameters.flatMap { $0.value.array.map(\.bitPattern) } }

    /// Trains to the end of the run and returns what was reported.
    @discardableResult
    func run(stoppingAfter steps: Int = .max) throws -> [TrainingEvent] {
        var events: [TrainingEvent] = [], done = 0
        try train(shouldStop: { done >= steps }) { event in
            if case .stepped = event { done += 1 }
            events.append(event)
        }
        return events
    }
}

extension [TrainingEvent] {
    var steps: [StepReport] { compactMap { if case .stepped(let report) = $0 { report } else { nil } } }
    var epochs: [EpochReport] { compactMap { if case .epochEnded(let report) = $0 { report } else { nil } } }
    var saves: [SaveReport] { compactMap { if case .saved(let report) = $0 { report } else { nil } } }
    var samples: [SampleReport] { compactMap { if case .sampled(let report) = $0 { report } else { nil } } }
}
