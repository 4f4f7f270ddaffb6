import Adapters
import Checkpoints
import Diffusion
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

/// The smallest model of each family with a LoRA, as `make_training.py` trains it in PyTorch.
private struct ReferenceRun {
    struct Record: Decodable {
        let unet: UNet.Configuration, texts: [CLIPTextEncoder.Configuration]
        let losses: [Float], timesteps: [Int], ids: [[Int]], sizes: [[Int]]
    }

    let record: Record
    let golden: SafetensorsFile
    let unet: UNet, texts: [CLIPTextEncoder]
    let network: AdapterNetwork
    /// The fixture's name of each parameter, in the network's order.
    let names: [String]
    private let family: String

    init(_ family: String) throws {
        let folder = OriginalModel.fixtures.appending(path: "training")
        record = try JSONDecoder().decode(Record.self, from: Data(contentsOf: folder.appending(path: "\(family).json")))
        golden = try SafetensorsFile(path: folder.appending(path: "\(family).safetensors").path)
        unet = try UNet(configuration: record.unet, weights: Weights(FormulaWeights()))
        texts = try record.texts.map { try CLIPTextEncoder(configuration: $0, weights: Weights(FormulaWeights())) }
        let model = AdaptableModel(unet: unet.registry, textEncoder: texts[0].registry, textEncoder2: texts.count > 1 ? texts[1].registry : nil)
        var generator = TorchGenerator(seed: 0)
        network = try AdapterNetwork(.init(.standard, .init(rank: 2, alpha: 1, unet: .transformer, textEncoder: .all)), model: model, generator: &generator)
        var names: [String] = []
        for module in network.modules {
            let place = try #require(model.naming.layer(named: module.name))
            let part = switch place.part { case .unet: "unet"; case .textEncoder: "text1"; case .textEncoder2: "text2" }
            let (down, up) = ("\(part).\(place.path).lora_down.weight", "\(part).\(place.path).lora_up.weight")
            names += [down, up]
            module.set([FormulaWeights.signed(down, module.down.value.shape, scale: 0.5), FormulaWeights.signed(up, module.up.value.shape, scale: 0.1)], alpha: nil)
        }
        self.names = names
        self.family = family
        network.attach()
    }

    /// The loss of the fixture's batch.
    func loss() -> Tensor {
        let schedule = NoiseSchedule(SchedulerConfiguration(predictionType: family == "sd2" ? .velocity : .epsilon))
        func input(_ key: String) -> Tensor { FormulaWeights.signed(key, [2, 4, 8, 8], scale: 1.7).transposed([0, 2, 3, 1]) }
        let clean = input("clean"), noise = input("noise"), timesteps = record.timesteps
        let (context, added) = conditions()
        let prediction = unet(
            schedule.addNoise(clean, noise: noise, timesteps: timesteps), timesteps: timesteps.map(Float.init), context: context, added: added)
        let target = Objective.target(schedule, latents: clean, noise: noise, timesteps: timesteps)
        return Objective()(prediction, target: target, timesteps: timesteps, schedule: schedule)
    }

    private func conditions() -> (Tensor, AddedConditions?) {
        guard texts.count > 1 else { return (texts[0].encode(record.ids), nil) }
        let first = texts[0].states(record.ids, layerFromEnd: 2), second = texts[1].encodeWithPooled(record.ids, layerFromEnd: 2)
        let sizes = record.sizes.map { SizeConditioning(original: ($0[0], $0[1]), crop: ($0[2], $0[3]), target: ($0[4], $0[5])) }
        return (Tensor.concatenated([first, second.states], axis: 2), AddedConditions(pooled: second.pooled, sizes: sizes))
    }
}

@Suite("Training as PyTorch does it") struct ReferenceTrainingTests {
    @Test("gradients of every factor, ten losses and the factors after ten AdamW steps are PyTorch's", arguments: ["sd1", "sd2", "sdxl"])
    func tenSteps(family: String) throws {
        let run = try ReferenceRun(family), parameters = run.network.parameters
        var optimizer = AdamW()
        #expect(run.names.count == run.golden.keys.count / 2)
        for step in 0..<run.record.losses.count {
            let loss = run.loss(), found = gradients(of: loss, for: parameters.map(\.tensor))
            #expect(abs(loss.item() - run.record.losses[step]) < 1e-5 * run.record.losses[step])
            if step == 0 { try compare(found, "gradient", run) }
            optimizer.step(parameters, gradients: found, learningRate: 1e-3)
        }
        try compare(parameters.map(\.value), "trained", run)
    }

    /// Each tensor's distance by norm, relative to the tensor's; for gradients far smaller than the others, to a thousandth of the largest.
    private func compare(_ found: [Tensor], _ prefix: String, _ run: ReferenceRun) throws {
        func norm(_ values: [Float]) -> Float { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let expected = try run.names.map { try run.golden.tensor("\(prefix).\($0)").array }
        let floor = (expected.map(norm).max() ?? 0) / 1000
        for (name, (a, b)) in zip(run.names, zip(found.map(\.array), expected)) {
            let distance = norm(zip(a, b).map { $0 - $1 }) / max(norm(b), floor)
            #expect(distance < 1e-3, "\(prefix) of \(name): \(distance)")
        }
    }
}
