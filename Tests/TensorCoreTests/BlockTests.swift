import TensorCore
import TestSupport
import Testing

/// Blocks at shapes where the fast paths run (Winograd's filtering, several blocks of keys), which the small cases do not reach.
@Suite struct BlockTests {
    @Test("a residual block's gradients", arguments: [8, 16])
    func residual(_ side: Int) {
        let c = 32
        let inputs: [Tensor] = [
            .testNormal([2, side, side, c], seed: 1), .testNormal([c, c, 3, 3], seed: 2, scale: 0.06), .testNormal([c], seed: 3),
            .testNormal([c], seed: 4, scale: 0.2) + 1, .testNormal([c], seed: 5, scale: 0.2), .testNormal([2, c], seed: 6),
        ]
        expectGradient(of: { i in
            let h = i[0].groupNorm(groups: 8, scale: i[3], shift: i[4], epsilon: 1e-5, activation: .silu)
            return h.conv2d(i[1], bias: i[2], padding: Padding(1)) + i[5].reshaped([2, 1, 1, c]) + i[0]
        }, at: inputs, "residual block at \(side)")
    }

    @Test("a transformer block's gradients")
    func transformer() {
        let (t, s, d) = (150, 77, 40)
        let inputs: [Tensor] = [
            .testNormal([1, t, d], seed: 1), .testNormal([1, s, d], seed: 2), .testNormal([3 * d, d], seed: 3, scale: 0.16),
            .testNormal([2 * d, d], seed: 4, scale: 0.16), .testNormal([8 * d, d], seed: 5, scale: 0.16), .testNormal([d, 4 * d], seed: 6, scale: 0.08),
        ]
        let (one, zero) = (Tensor.ones([d]), Tensor.zeros([d]))
        expectGradient(of: { i in
            var h = i[0].layerNorm(scale: one, shift: zero, epsilon: 1e-5)
            let qkv = h.linear(i[2]).split(axis: 2, sizes: [d, d, d])
            h = i[0] + Tensor.attention(qkv[0], qkv[1], qkv[2], heads: 2)
            let kv = i[1].linear(i[3]).split(axis: 2, sizes: [d, d])
            h = h + Tensor.attention(h, kv[0], kv[1], heads: 2)
            return h + h.linear(i[4]).geglu().linear(i[5])
        }, at: inputs, "transformer block")
    }

    @Test("down and up again")
    func resolutions() {
        let inputs: [Tensor] = [
            .testNormal([2, 12, 12, 24], seed: 1), .testNormal([32, 24, 3, 3], seed: 2, scale: 0.07), .testNormal([24, 32, 3, 3], seed: 3, scale: 0.06),
            .testNormal([24, 48, 1, 1], seed: 4, scale: 0.14),
        ]
        expectGradient(of: { i in
            let low = i[0].conv2d(i[1], bias: nil, stride: 2, padding: Padding(1)).silu()
            let high = low.upsampledNearest(2).conv2d(i[2], bias: nil, padding: Padding(1))
            return Tensor.concatenated([high, i[0]], axis: 3).conv2d(i[3], bias: nil)
        }, at: inputs, "down and up")
    }
}
