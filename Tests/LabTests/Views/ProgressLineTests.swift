import Lab
import Testing

@Suite("ProgressLine")
struct ProgressLineTests {
    @Test("everything known is said")
    func whole() {
        let line = ProgressLine(step: 80, steps: 120, epoch: 2, epochs: 3, loss: 0.08123, learningRate: 1e-4, stepsPerSecond: 2, memoryMiB: 1812)
        #expect(line.text == "epoch 2/3 · step 80/120 ▕█████████████▎      ▏66 % · loss 0.0812 · lr 1e-4 · 2.00 steps/s · 20 s left · 1,812 MiB")
    }

    @Test("what is not known yet is left out")
    func start() {
        #expect(ProgressLine(step: 0, steps: 10, epoch: 1, epochs: 1).text == "epoch 1/1 · step 0/10 ▕                    ▏0 %")
    }

    @Test("the bar keeps its width at every step", arguments: 0...64)
    func width(step: Int) {
        let text = ProgressLine(step: step, steps: 64, epoch: 1, epochs: 1).text
        let percent = "\(step * 100 / 64) %"
        #expect(text.hasSuffix("▏" + percent))
        #expect(text.count == "epoch 1/1 · step \(step)/64 ".count + 22 + percent.count)
    }

    @Test("at the end nothing is left")
    func end() {
        let line = ProgressLine(step: 64, steps: 64, epoch: 1, epochs: 1, stepsPerSecond: 4)
        #expect(line.text == "epoch 1/1 · step 64/64 ▕████████████████████▏100 % · 4.00 steps/s · done")
    }
}
