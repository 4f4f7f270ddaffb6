import Foundation
import Neural
import Testing

@Suite struct LearningRateScheduleTests {
    @Test("multipliers are those of transformers' schedulers")
    func transformers() throws {
        let shapes: [String: LearningRateSchedule.Shape] = [
            "constant": .constant, "constant_with_warmup": .constantWithWarmup, "linear": .linear, "cosine": .cosine,
            "cosine_with_restarts": .cosineWithRestarts(cycles: 3), "polynomial": .polynomial(power: 2, end: 1e-3 / 0.5),
            "inverse_sqrt": .inverseSquareRoot(timescale: nil), "inverse_sqrt_timescale": .inverseSquareRoot(timescale: 11),
            "cosine_with_min_lr": .cosineWithMinimum(minimum: 0.1, cycles: 1),
            "warmup_stable_decay": .warmupStableDecay(decaySteps: 12, minimum: 0.1, cycles: 1),
        ]
        let golden = try JSONDecoder().decode([String: [Double]].self, from: Data(contentsOf: URL(fileURLWithPath: fixturePath("schedules.json"))))
        #expect(Set(golden.keys) == Set(shapes.keys))
        for (name, expected) in golden {
            let schedule = LearningRateSchedule(try #require(shapes[name]), warmupSteps: 6, totalSteps: 40)
            for (step, value) in expected.enumerated() {
                #expect(abs(schedule.multiplier(at: step) - value) < 1e-9, "\(name) at \(step)")
            }
        }
    }

    @Test("pieces hold before their steps, the last value afterwards")
    func pieces() {
        let schedule = LearningRateSchedule(
            .piecewiseConstant([.init(multiplier: 1, before: 2), .init(multiplier: 0.1, before: 4)], last: 0.01), totalSteps: 6)
        #expect((0..<6).map(schedule.multiplier) == [1, 1, 0.1, 0.1, 0.01, 0.01])
    }

    @Test("without warm-up the first update has the full rate", arguments: [LearningRateSchedule.Shape.constantWithWarmup, .linear, .cosine])
    func noWarmup(_ shape: LearningRateSchedule.Shape) {
        #expect(LearningRateSchedule(shape, totalSteps: 10).multiplier(at: 0) == 1)
        #expect(LearningRateSchedule(shape, totalSteps: 0).multiplier(at: 0).isFinite)
    }
}
