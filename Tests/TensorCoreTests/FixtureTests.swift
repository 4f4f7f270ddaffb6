import TensorCore
import TestSupport
import Testing

/// Every op against PyTorch: value and all gradients (Tests/Fixtures/make_tensorcore.py, computed in float64).
@Suite struct FixtureTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let body: @Sendable ([Tensor]) -> Tensor
        init(_ name: String, _ body: @escaping @Sendable ([Tensor]) -> Tensor) { (self.name, self.body) = (name, body) }
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case("exp") { $0[0].exp() }, Case("log") { $0[0].log() }, Case("sqrt") { $0[0].sqrt() }, Case("square") { $0[0].square() },
        Case("absolute") { $0[0].absolute() }, Case("sigmoid") { $0[0].sigmoid() }, Case("tanh") { $0[0].tanh() }, Case("silu") { $0[0].silu() },
        Case("relu") { $0[0].relu() }, Case("gelu") { $0[0].gelu() }, Case("geluTanh") { $0[0].gelu(.tanh) }, Case("geluQuick") { $0[0].gelu(.quick) },
        Case("clamped") { $0[0].clamped(-0.5, 1) }, Case("softmax") { $0[0].softmax() }, Case("logSoftmax") { $0[0].logSoftmax() },
        Case("geglu") { $0[0].geglu() },
        Case("add") { $0[0] + $0[1] }, Case("subtract") { $0[0] - $0[1] }, Case("multiply") { $0[0] * $0[1] }, Case("divide") { $0[0] / $0[1] },
        Case("sumAxis") { $0[0].sum(axis: 1) }, Case("meanAxis") { $0[0].mean(axis: -1, keepingAxis: true) },
        Case("matmul") { $0[0].matmul($0[1]) }, Case("matmulTransposed") { $0[0].matmul($0[1], transposed: true) },
        Case("matmulBatched") { $0[0].matmul($0[1]) }, Case("matmulBatchedTransposed") { $0[0].matmul($0[1], transposed: true) },
        Case("linear") { $0[0].linear($0[1], bias: $0[2]) },
        Case("conv3x3") { $0[0].conv2d($0[1], bias: $0[2], padding: Padding(1)) },
        Case("conv3x3Wide") { $0[0].conv2d($0[1], bias: $0[2], padding: Padding(1)) },
        Case("conv3x3Stride2") { $0[0].conv2d($0[1], bias: $0[2], stride: 2, padding: Padding(1)) },
        Case("conv3x3Stride2Asymmetric") { $0[0].conv2d($0[1], bias: $0[2], stride: 2, padding: Padding(top: 0, left: 0, bottom: 1, right: 1)) },
        Case("conv1x1") { $0[0].conv2d($0[1], bias: $0[2]) },
        Case("conv4x4Stride4") { $0[0].conv2d($0[1], bias: $0[2], stride: 4) },
        Case("conv5x3") { $0[0].conv2d($0[1], bias: $0[2], padding: Padding(top: 2, left: 0, bottom: 1, right: 2)) },
        Case("groupNorm") { $0[0].groupNorm(groups: 8, scale: $0[1], shift: $0[2], epsilon: 1e-5) },
        Case("groupNormSiLU") { $0[0].groupNorm(groups: 4, scale: $0[1], shift: $0[2], epsilon: 1e-5, activation: .silu) },
        Case("layerNorm") { $0[0].layerNorm(scale: $0[1], shift: $0[2], epsilon: 1e-5) },
        Case("attention") { Tensor.attention($0[0], $0[1], $0[2], heads: 3) },
        Case("attentionCausal") { Tensor.attention($0[0], $0[1], $0[2], heads: 3, mask: .causal) },
        Case("attentionOffset") { Tensor.attention($0[0], $0[1], $0[2], heads: 3, mask: .causalWithOffset(7)) },
        Case("attentionLengths") { Tensor.attention($0[0], $0[1], $0[2], heads: 3, mask: .keyLengths([13, 4])) },
        Case("attentionLong") { Tensor.attention($0[0], $0[1], $0[2], heads: 2) },
        Case("upsampledNearest") { $0[0].upsampledNearest(2) },
        Case("embedding") { Tensor.embedding($0[0], [3, 0, 3, 6, 1, 3], shape: [2, 3]) },
        Case("transposed") { $0[0].transposed([0, 2, 3, 1]) },
        Case("meanSquaredError") { $0[0].meanSquaredError($0[1]) },
        Case("crossEntropy") { $0[0].crossEntropy([8, -100, 0, 3]) },
        Case("crossEntropySmoothed") { $0[0].crossEntropy([8, -100, 0, 3], labelSmoothing: 0.1) },
    ]

    /// Float32 against float64: a few hundred terms of rounding, and vector approximations of exp and erf to about 1e-6.
    static let tolerance = 1e-5

    @Test("value and gradients equal PyTorch's", arguments: cases)
    func agrees(_ item: Case) throws {
        let golden = try Golden("tensorcore/ops.safetensors")
        var inputs: [Tensor] = []
        while golden.contains("\(item.name)/input\(inputs.count)") { inputs.append(try golden["\(item.name)/input\(inputs.count)"]) }
        #expect(!inputs.isEmpty)
        let leaves = inputs.map { $0.trackingGradient() }
        let output = item.body(leaves)
        expectClose(output, try golden["\(item.name)/output"], relative: Self.tolerance, "\(item.name) value")
        let seed = try golden["\(item.name)/seed"], found = gradients(of: output, seed: seed, for: leaves)
        expectSameOnMirror(item.body, at: inputs, seed: seed, output: output, gradients: found, item.name)
        for (i, gradient) in found.enumerated() {
            expectClose(gradient, try golden["\(item.name)/gradient\(i)"], relative: Self.tolerance, "\(item.name) gradient \(i)")
        }
    }

    @Test("every case of the fixture file is tested")
    func isComplete() throws {
        let stored = Set(try Golden("tensorcore/ops.safetensors").file.keys.map { String($0.prefix { $0 != "/" }) })
        #expect(stored == Set(Self.cases.map(\.name)))
    }
}
