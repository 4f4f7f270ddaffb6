import TensorCore
import TestSupport
import Testing

/// Each test runs in a process of its own, where nothing else makes tensors.
@Suite struct MemoryTests {
    /// A small network's training step, with everything the engine keeps between forward and backward.
    private static func step(_ weights: [Parameter], batch: Int) -> Float {
        let x = Tensor.testNormal([batch, 8, 8, 8], seed: 1)
        let h = x.conv2d(weights[0].tensor, bias: weights[1].tensor, padding: Padding(1))
            .groupNorm(groups: 4, scale: weights[2].tensor, shift: weights[1].tensor, epsilon: 1e-5, activation: .silu)
        let t = h.reshaped([batch, 64, 8])
        let y = Tensor.attention(t, t, t, heads: 2)
        let loss = y.meanSquaredError(Tensor.ones(y.shape))
        for (weight, gradient) in zip(weights, gradients(of: loss, for: weights.map(\.tensor))) {
            weight.update { $0 = $0 - gradient * 0.01 }
        }
        return loss.item()
    }

    private static func makeWeights() -> [Parameter] {
        [Parameter("conv.weight", .testNormal([8, 8, 3, 3], seed: 2, scale: 0.1), trainable: true), Parameter("conv.bias", .zeros([8]), trainable: true),
         Parameter("norm.weight", .ones([8]), trainable: true)]
    }

    @Test("fifty training steps hold no more memory than one, and lower the loss")
    func steps() async {
        await #expect(processExitsWith: .success) {
            let weights = MemoryTests.makeWeights()
            let first = MemoryTests.step(weights, batch: 3)
            var last = MemoryTests.step(weights, batch: 3)
            let (held, pooled, peak) = (Engine.bytesInUse, Engine.bytesPooled, Engine.peakBytes)
            for _ in 0..<50 { last = MemoryTests.step(weights, batch: 3) }
            precondition(last < first)
            guard Engine.bytesInUse == held, Engine.peakBytes == peak, Engine.bytesPooled == pooled else {
                fatalError("in use \(held) -> \(Engine.bytesInUse), peak \(peak) -> \(Engine.peakBytes), pooled \(pooled) -> \(Engine.bytesPooled)")
            }
            withExtendedLifetime(weights) {}
        }
    }

    @Test("trimming gives back what was freed, and freed blocks beyond the limit are not kept")
    func trimming() async {
        await #expect(processExitsWith: .success) {
            let before = Engine.bytesInUse
            var x: Tensor? = Tensor.zeros([1 << 20])
            guard Engine.bytesInUse - before >= 4 << 20, x != nil else { fatalError("a tensor of 4 MiB is not counted") }
            x = nil
            guard Engine.bytesInUse == before, Engine.bytesPooled >= 4 << 20 else { fatalError("a freed block is not pooled") }
            Engine.trimPool()
            guard Engine.bytesPooled == 0 else { fatalError("trimming left \(Engine.bytesPooled) bytes") }
            Engine.setPoolLimit(1 << 20)
            x = Tensor.zeros([1 << 20])
            x = nil
            guard Engine.bytesPooled == 0 else { fatalError("a block beyond the limit is pooled") }
        }
    }

    @Test("blocks of sizes that are no longer used do not pile up")
    func changingSizes() async {
        await #expect(processExitsWith: .success) {
            // Each tensor has a size of its own, 100 to 164 MiB; without giving back, 64 of them would hold 8 GiB.
            for i in 0..<64 { _ = Tensor(shape: [(100 + i) << 18]) { $0[0] = 1 } }
            let held = Engine.bytesInUse + Engine.bytesPooled
            guard held <= 200 << 20 else { fatalError("\(held >> 20) MiB are held after one tensor at a time of at most 164 MiB") }
        }
    }

    @Test("blocks that are cut, grown and moved belong to one tensor at a time, within what was needed at once")
    func reshaped() async {
        await #expect(processExitsWith: .success) {
            var numbers = TorchGenerator(seed: 5)
            var alive: [(tensor: Tensor, mark: Float)] = []
            var needed = 0
            for mark in 0..<2000 {
                if alive.count > 24 || (alive.count > 0 && Int.random(in: 0..<3, using: &numbers) == 0) {
                    let (tensor, mark) = alive.remove(at: Int.random(in: alive.indices, using: &numbers))
                    guard tensor.withUnsafeFloats({ $0.allSatisfy { $0 == mark } }) else { fatalError("memory of tensor \(mark) was given to another") }
                }
                let count = (1 << Int.random(in: 8..<20, using: &numbers)) + Int.random(in: 0..<5000, using: &numbers)
                alive.append((Tensor(shape: [count]) { $0.update(repeating: Float(mark)) }, Float(mark)))
                needed = max(needed, Engine.bytesInUse)
                let held = Engine.bytesInUse + Engine.bytesPooled
                guard held <= needed + (17 << 20) else { fatalError("\(held) bytes are held, \(needed) were needed at once") }
            }
        }
    }

    @Test("a long graph that is dropped without a walk is released")
    func longGraph() async {
        await #expect(processExitsWith: .success) {
            let before = Engine.bytesInUse
            var y = Tensor.ones([1]).trackingGradient()
            for _ in 0..<300_000 { y = y + 1 }
            y = Tensor.ones([1])
            guard Engine.bytesInUse <= before + 128 else { fatalError("\(Engine.bytesInUse - before) bytes are still held") }
        }
    }

    @Test("the backward walk lets go of what was kept as it passes")
    func released() async {
        await #expect(processExitsWith: .success) {
            // 64 products of 1 MiB each keep 64 MiB; their gradients need two or three at a time.
            let x = Tensor.ones([1 << 18]).trackingGradient()
            var y = x
            for _ in 0..<64 { y = y.square() }
            let loss = y.sum()
            y = x
            Engine.resetPeak()
            let kept = Engine.bytesInUse
            let gradient = gradients(of: loss, for: [x])[0]
            guard Engine.peakBytes - kept <= 4 << 20, Engine.bytesInUse < 4 << 20 else {
                fatalError("kept \(kept), peak \(Engine.peakBytes), after \(Engine.bytesInUse)")
            }
            withExtendedLifetime((loss, gradient)) {}
        }
    }

    @Test("recomputation keeps the inputs of blocks only")
    func checkpointed() async {
        await #expect(processExitsWith: .success) {
            let x = Tensor.ones([1 << 18]).trackingGradient()
            let before = Engine.bytesInUse
            let loss = TensorCore.checkpointed([x]) { var y = $0[0]; for _ in 0..<64 { y = y.square() }; return y }.sum()
            guard Engine.bytesInUse - before < 2 << 20 else { fatalError("\(Engine.bytesInUse - before) bytes are kept") }
            withExtendedLifetime(loss) {}
        }
    }

    @Test("shapes that do not fit end the process in optimised builds, too")
    func shapeChecks() async {
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([1, 4, 4, 3]).conv2d(.ones([8, 4, 3, 3]), bias: nil) }
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([2, 3]) + Tensor.ones([2, 4]) }
        await #expect(processExitsWith: .failure) { _ = Tensor.ones([2, 3]).linear(.ones([2, 4])) }
        await #expect(processExitsWith: .failure) { _ = Tensor.embedding(.ones([2, 3]), [2], shape: [1]) }
        await #expect(processExitsWith: .failure) {
            let x = Tensor.ones([2]).trackingGradient(), y = x.square().sum()
            _ = gradients(of: y, for: [x])
            _ = gradients(of: y, for: [x])
        }
    }
}
