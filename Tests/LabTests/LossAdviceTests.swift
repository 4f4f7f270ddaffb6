import Lab
import Testing

@Suite("LossAdvice")
struct LossAdviceTests {
    @Test("epochs inside the band are named")
    func inside() {
        let advice = LossAdvice(epochLosses: [0.12, 0.09, 0.08, 0.0699], applies: true)
        #expect(advice.inside == [2, 3])
        #expect(advice.steepFall == nil)
        #expect(advice.sentences == ["Inside the guide's loss band 0.07–0.09: epochs 2, 3. Compare them with %sample --epochs 2,3."])
    }

    @Test("a fall from 0.1 to 0.06 within two epochs is too fast", arguments: [
        ([0.11, 0.06], 1...2), ([0.2, 0.1, 0.08, 0.055], 2...4),
    ])
    func steep(losses: [Double], expected: ClosedRange<Int>) {
        #expect(LossAdvice(epochLosses: losses, applies: true).steepFall == expected)
    }

    @Test("the same fall over three epochs is not", arguments: [[0.1, 0.09, 0.08, 0.06], [0.099, 0.05], [0.1, 0.061], []])
    func notSteep(losses: [Double]) {
        #expect(LossAdvice(epochLosses: losses, applies: true).steepFall == nil)
    }

    @Test("for a small model only the reason for silence is given")
    func doesNotApply() {
        let advice = LossAdvice(epochLosses: [0.11, 0.05, 0.08], applies: false)
        #expect(advice.inside.isEmpty && advice.steepFall == nil)
        #expect(advice.sentences.count == 1 && advice.sentences[0].contains("Stable Diffusion's size"))
    }
}
