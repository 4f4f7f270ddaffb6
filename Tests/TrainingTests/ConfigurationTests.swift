import Adapters
import Datasets
import Foundation
import Training
import Testing

@Suite("TrainingConfiguration") struct ConfigurationTests {
    @Test("the defaults are valid") func defaults() throws { try TrainingConfiguration().validate() }

    static let bad: [(setting: String, change: @Sendable (inout TrainingConfiguration) -> Void)] = [
        ("epochs", { $0.epochs = 0 }), ("epochs", { $0.epochs = 1_000_000_000 }), ("maximumSteps", { $0.maximumSteps = -1 }), ("batchSize", { $0.batchSize = 0 }),
        ("accumulation", { $0.accumulation = 0 }), ("learningRate", { $0.learningRate = -1 }), ("learningRate", { $0.learningRate = .nan }),
        ("learningRate", { $0.learningRate = .infinity }), ("unetLearningRate", { $0.unetLearningRate = -1e-4 }), ("textEncoderLearningRate", { $0.textEncoderLearningRate = 11 }),
        ("warmup", { $0.warmup = .ratio(1.5) }), ("warmup", { $0.warmup = .steps(-2) }), ("cycles", { $0.cycles = 0 }), ("clipSkip", { $0.clipSkip = 0 }),
        ("maximumGradientNorm", { $0.maximumGradientNorm = -1 }), ("maximumGradientNorm", { $0.maximumGradientNorm = .nan }), ("noiseOffset", { $0.noiseOffset = 2 }),
        ("minSNRGamma", { $0.objective.minSNRGamma = 0 }), ("beta1", { $0.adamW.beta1 = 1 }), ("weightDecay", { $0.adamW.weightDecay = -0.1 }),
        ("saveEveryEpochs", { $0.saveEveryEpochs = -1 }), ("maximumTimestep", { $0.maximumTimestep = 2000 }), ("minimumTimestep", { $0.minimumTimestep = -5 }),
    ]

    @Test("a value out of range is named with its range and the nearest inside", arguments: bad.indices) func invalid(index: Int) {
        var c = TrainingConfiguration()
        Self.bad[index].change(&c)
        do {
            try c.validate()
            Issue.record("accepted a bad \(Self.bad[index].setting)")
        } catch TrainingError.invalidSetting(let setting, _, let allowed, let nearest) {
            #expect(setting == Self.bad[index].setting && !allowed.isEmpty && Double(nearest) != nil)
        } catch { Issue.record("\(error)") }
    }

    @Test("contradictions are told with a way out") func contradictions() {
        var c = TrainingConfiguration()
        c.unetTargets = .none
        #expect(throws: TrainingError.self) { try c.validate() }
        c = TrainingConfiguration()
        c.minimumTimestep = 500
        c.maximumTimestep = 500
        #expect(throws: TrainingError.self) { try c.validate() }
        c = TrainingConfiguration()
        c.rank = 0
        #expect(throws: AdapterError.rankOutOfRange(0, allowed: 1...1024, nearest: 1)) { try c.validate() }
        c = TrainingConfiguration()
        c.captions.dropoutRate = 2
        #expect(throws: DatasetError.self) { try c.validate() }
    }

    @Test("a configuration survives JSON") func coding() throws {
        var c = TrainingConfiguration()
        c.learningRate = 3.3e-5
        c.warmup = .ratio(0.1)
        c.seed = 4_294_967_295
        c.captions.shuffles = true
        #expect(try JSONDecoder().decode(TrainingConfiguration.self, from: JSONEncoder().encode(c)) == c)
    }

    @Test("a rate of 0 leaves a part out") func rates() {
        var c = TrainingConfiguration()
        c.textEncoderTargets = .all
        c.unetLearningRate = 0
        #expect(c.specification.base.unet == .none && c.specification.base.textEncoder == .all && c.effectiveTextEncoderRate == 1e-4)
    }
}
