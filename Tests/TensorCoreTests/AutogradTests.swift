import TensorCore
import TestSupport
import Testing

@Suite struct AutogradTests {
    @Test("a value used twice gets both gradients")
    func accumulates() {
        // y = x² + 5x, dy/dx = 2x + 5
        let x = Tensor([3, -1], shape: [2]).trackingGradient()
        let y = x * x + x * 5
        #expect(gradients(of: y.sum(), for: [x])[0].array == [11, 3])
    }

    @Test("a gradient that flows to two places is not changed by either")
    func sharedGradients() {
        // y = (a + b) + a·1: dy reaches a + b unchanged and is handed to a and b both; then a's grows.
        let a = Tensor([1, 1], shape: [2]).trackingGradient(), b = Tensor([2, 2], shape: [2]).trackingGradient()
        let found = gradients(of: ((a + b) + a).sum(), for: [a, b])
        #expect(found[0].array == [2, 2] && found[1].array == [1, 1])
    }

    @Test("a leaf the loss does not depend on gets zeros")
    func unreached() {
        let x = Tensor([3], shape: [1]).trackingGradient(), y = Tensor([1, 2], shape: [2]).trackingGradient()
        #expect(gradients(of: (x * 2).sum(), for: [y, x]).map(\.array) == [[0, 0], [2]])
        #expect(gradients(of: Tensor.scalar(1), for: [y])[0].array == [0, 0])
    }

    @Test("only paths to the leaves asked for are walked")
    func neededPaths() {
        let x = Tensor([3], shape: [1]).trackingGradient(), y = Tensor([4], shape: [1]).trackingGradient()
        let left = x * 2, right = y * 3
        #expect(gradients(of: (left * right).sum(), for: [y])[0].array == [18])
        // The part that was not walked is still whole.
        #expect(gradients(of: left.sum(), for: [x])[0].array == [2])
    }

    @Test("gradients with respect to a value in the middle")
    func intermediate() {
        let x = Tensor([3], shape: [1]).trackingGradient()
        let middle = x.square()
        #expect(gradients(of: (middle * middle).sum(), for: [middle])[0].array == [18])
    }

    @Test("nothing is recorded inside withoutGradients, nor for values that require none")
    func recordsOnlyWhenAsked() {
        let x = Tensor([3], shape: [1]).trackingGradient()
        #expect(!withoutGradients { x * 2 }.requiresGradient)
        #expect((x * 2).requiresGradient && !(x.detached() * 2).requiresGradient && !x.detached().requiresGradient)
    }

    @Test("a parameter is a leaf when it is trained and a plain value when it is frozen")
    func parameters() {
        let weight = Parameter("weight", Tensor([1, 2], shape: [2]))
        #expect(!weight.tensor.requiresGradient)
        weight.isTrainable = true
        let old = weight.tensor
        #expect(gradients(of: weight.tensor.square().sum(), for: [weight.tensor])[0].array == [2, 4])
        func addOne() {
            weight.update { value in
                var (mean, square) = (Tensor.zeros([2]), Tensor.zeros([2]))
                let step = AdamWStep(learningRate: -1, beta1: 0, beta2: 0, epsilon: 0, weightDecay: 0, step: 1)
                value.adamW(step, gradient: .ones([2]), mean: &mean, square: &square)
            }
        }
        addOne()
        #expect(weight.value.array == [2, 3] && weight.tensor.array == [2, 3] && old.array == [1, 2])
        addOne()
        #expect(weight.value.array == [3, 4])
    }

    @Test("recomputation changes no value and no gradient, of inputs, of captured weights and of captured values")
    func checkpointing() {
        let x = Tensor.testNormal([4, 6], seed: 1).trackingGradient(), w = Tensor.testNormal([6, 6], seed: 2).trackingGradient()
        let c = Tensor.testNormal([6], seed: 3).trackingGradient()
        func block(_ h: Tensor, _ shift: Tensor) -> Tensor { (h.linear(w) + shift).silu() + h }
        func plain() -> Tensor {
            let shift = c * 3
            return block(block(x * 1, shift), shift).square().mean()
        }
        func recomputed() -> Tensor {
            let shift = c * 3
            let inner = checkpointed([x * 1]) { checkpointed([$0[0]]) { block($0[0], shift) } }
            return checkpointed([inner]) { block($0[0], shift) }.square().mean()
        }
        let a = plain(), b = recomputed()
        expectClose(b, a)
        for (p, q) in zip(gradients(of: a, for: [x, w, c]), gradients(of: b, for: [x, w, c])) { expectClose(q, p) }
    }

    @Test("attention over many keys, which recomputation keeps, gets its own values back, however deep the checkpoints are nested")
    func checkpointingOfAttention() {
        let x = Tensor.testNormal([1, 2050, 16], seed: 1).trackingGradient(), w = Tensor.testNormal([16, 16], seed: 2).trackingGradient()
        func block(_ x: Tensor) -> Tensor {
            let y = x.linear(w)
            return Tensor.attention(y, Tensor.attention(y, x, x, heads: 2), x, heads: 4)
        }
        let plain = gradients(of: block(block(block(x * 1))).square().mean(), for: [x, w])
        let inside = checkpointed([x * 1]) { block(checkpointed([block($0[0])]) { block($0[0]) }) }
        let recomputed = gradients(of: inside.square().mean(), for: [x, w])
        for (p, q) in zip(plain, recomputed) { #expect(p.array == q.array) }
    }

    @Test("recomputation with only captured weights to train")
    func checkpointingOfCaptured() {
        let w = Tensor.testNormal([3, 3], seed: 2).trackingGradient(), x = Tensor.testNormal([2, 3], seed: 1)
        let y = checkpointed([x]) { $0[0].linear(w).tanh() }
        expectClose(gradients(of: y.sum(), for: [w])[0], gradients(of: x.linear(w).tanh().sum(), for: [w])[0])
        #expect(!checkpointed([x]) { $0[0].tanh() }.requiresGradient)
    }

    /// Gradients of a small network that reaches convolution, normalisation and attention, one after the other.
    private static func gradientsOfBlock() -> [Float] {
        let x = Tensor.testNormal([2, 16, 16, 32], seed: 1), w = Tensor.testNormal([32, 32, 3, 3], seed: 2, scale: 0.06).trackingGradient()
        let s = Tensor.ones([32]).trackingGradient(), t = Tensor.zeros([32]).trackingGradient()
        let h = x.conv2d(w, bias: t, padding: Padding(1)).groupNorm(groups: 8, scale: s, shift: t, epsilon: 1e-5, activation: .silu)
        let a = h.reshaped([2, 256, 32])
        return gradients(of: Tensor.attention(a, a, a, heads: 4).square().mean(), for: [w, s, t]).flatMap(\.array)
    }

    /// In a process of its own: other tests switch instruction sets, whose roundings differ.
    @Test("the same computation gives the same bits, whatever the number of threads")
    func deterministic() async {
        await #expect(processExitsWith: .success) {
            let first = AutogradTests.gradientsOfBlock()
            for threads in [1, 2, 2, 2, 3, 5] {
                Engine.setThreads(threads)
                let again = AutogradTests.gradientsOfBlock()
                let different = zip(first, again).count { $0 != $1 }
                guard different == 0 else { fatalError("\(different) of \(first.count) gradients differ with \(threads) threads") }
            }
        }
    }
}
