import ArgumentParser
import CUDADevice
import Foundation
import TensorCore

/// `loralab bench card-parity`: whether a card computes what the processor does, and what 16 bits change.
struct CardParityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "card-parity", abstract: "Compare a card's numbers with the processor's.")

    @Option(help: "The card.") var device = "cuda:0"
    @Option(help: "Steps in float32, whose weights are compared.") var steps = 10
    @Option(help: "Steps in bfloat16, whose mean loss is compared.") var halfSteps = 100
    @Option(help: "Pictures in a step.") var batch = 2
    @Flag(help: "Compare one evaluation of Stable Diffusion 1.5's denoiser in bfloat16 and float32, too.") var full = false

    func run() throws {
        var place = BenchDevice()
        (place.device, place.precision, place.tune) = (device, .float32, false)
        var report = try compareWeights(place).merging(compareLosses(place)) { $1 }
        if full { try report.merge(compareDenoisers(place)) { $1 } }
        print(String(decoding: try JSONSerialization.data(withJSONObject: report, options: [.sortedKeys]), as: UTF8.self))
    }

    /// The same steps on the processor and on the card, both in float32.
    private func compareWeights(_ place: BenchDevice) throws -> [String: Any] {
        var host = try TinyTrain(batch: batch, rank: 8), card = try TinyTrain(batch: batch, rank: 8, on: place.card(.float32))
        let losses = try (0..<steps).map { _ in (try host.step(), try card.step()) }
        let worst = losses.map { abs($0 - $1) / abs($0) }.max() ?? 0
        return [
            "steps": steps, "loss_error": Double(worst), "weight_error": Double(difference(card.weights, host.weights)),
            "losses_host": losses.map { Double($0.0) }, "losses_card": losses.map { Double($0.1) },
        ]
    }

    /// The mean loss of more steps with 16 bits on the card.
    private func compareLosses(_ place: BenchDevice) throws -> [String: Any] {
        var host = try TinyTrain(batch: batch, rank: 8), card = try TinyTrain(batch: batch, rank: 8, on: place.card(.bf16))
        var sums = (host: Float(0), card: Float(0))
        for _ in 0..<halfSteps { sums = (sums.host + (try host.step()), sums.card + (try card.step())) }
        return ["half_steps": halfSteps, "mean_loss_host": Double(sums.host) / Double(halfSteps), "mean_loss_bf16": Double(sums.card) / Double(halfSteps)]
    }

    private func compareDenoisers(_ place: BenchDevice) throws -> [String: Any] {
        func predicted(_ precision: BenchDevice.Precision) throws -> [Float] {
            let card = try place.card(precision)
            let values = try withoutGradients { try DenoiserCall(.sd15, batch: 1, side: 512, on: card).predict().array }
            try card.checkFailure()
            return values
        }
        return ["denoiser_error": Double(difference([try predicted(.bf16)], [try predicted(.float32)]))]
    }

    /// The Euclidean norm of the difference, relative.
    private func difference(_ found: [[Float]], _ expected: [[Float]]) -> Float {
        var error = 0.0, size = 0.0
        for (found, expected) in zip(found, expected) {
            for (a, b) in zip(found, expected) {
                error += Double(a - b) * Double(a - b)
                size += Double(b) * Double(b)
            }
        }
        return Float((error / max(size, .leastNormalMagnitude)).squareRoot())
    }
}
