import Foundation
import TensorCore
import Testing

@Suite("TorchGenerator") struct TorchGeneratorTests {
    struct Case: Decodable {
        struct Call: Decodable { let kind: String, n: Int, values: [Double]?, head: [Double]?, tail: [Double]?, sum: Double? }
        let seed: UInt64
        let calls: [Call]
    }

    /// PyTorch's vectorised logarithm, sine and cosine differ from libm's in the last bits.
    static let normalTolerance = 2e-6

    @Test("draws what torch draws, call after call") func followsTorch() throws {
        for item in try fixture("random", as: [Case].self) {
            var generator = TorchGenerator(seed: item.seed)
            for call in item.calls {
                let values: [Double] = switch call.kind {
                case "rand": generator.uniform(call.n).map(Double.init)
                case "randn": generator.normal(call.n).map(Double.init)
                case "randint": generator.integers(4, in: 0..<call.n).map(Double.init)
                default: generator.permutation(call.n).map(Double.init)
                }
                let tolerance = call.kind == "randn" ? Self.normalTolerance : 0
                if let expected = call.values { expectClose(values, expected, tolerance, "seed \(item.seed) \(call.kind)(\(call.n))") }
                if let head = call.head, let tail = call.tail, let sum = call.sum {
                    expectClose(Array(values.prefix(20)), head, tolerance, "head of \(call.kind)(\(call.n))")
                    expectClose(Array(values.suffix(20)), tail, tolerance, "tail of \(call.kind)(\(call.n))")
                    #expect(abs(values.reduce(0, +) - sum) < 1e-3)
                }
            }
        }
    }

    func expectClose(_ found: [Double], _ expected: [Double], _ tolerance: Double, _ what: String) {
        #expect(found.count == expected.count)
        // The fixture's shortest decimals name float32 values; integers up to 3·2³⁰ are compared as they are.
        let worst = zip(found, expected).map { abs($0 - ($1.rounded() == $1 ? $1 : Double(Float($1)))) }.max() ?? 0
        #expect(worst <= tolerance, "\(what): off by \(worst)")
    }

    @Test("a saved state continues the same sequence, half a pair of normals included", arguments: [0, 1, 3, 623, 624, 700])
    func stateRoundTrip(drawn: Int) throws {
        var generator = TorchGenerator(seed: 5)
        _ = generator.uniform(drawn)
        _ = generator.normal(3)
        var restored = try TorchGenerator(state: generator.state)
        #expect(restored == generator)
        #expect(restored.normal(3) == generator.normal(3))
        #expect(restored.permutation(50) == generator.permutation(50))
    }

    @Test("bytes that are no state are refused") func invalidState() {
        #expect(throws: RandomStateError.wrongSize(expected: 2509, found: 3)) { try TorchGenerator(state: [1, 2, 3]) }
        var bytes = TorchGenerator(seed: 1).state
        bytes[2496] = 0xFF
        bytes[2497] = 0xFF
        #expect(throws: RandomStateError.invalidPosition(0xFFFF)) { try TorchGenerator(state: bytes) }
    }

    @Test("drawing nothing changes nothing") func empty() {
        var generator = TorchGenerator(seed: 9)
        #expect(generator.uniform(0).isEmpty && generator.normal(0).isEmpty && generator.permutation(0).isEmpty)
        #expect(generator == TorchGenerator(seed: 9))
    }
}

@Suite("PhiloxGenerator") struct PhiloxGeneratorTests {
    @Test("starts as a CUDA device starts for seed 0") func knownStart() {
        var generator = PhiloxGenerator(seed: 0)
        let expected: [Float] = [-0.92466259, -0.42534415, -2.6438457, 0.14518388]
        #expect(relativeError(Array(generator.normal(12).prefix(4)), expected) < 1e-6)
    }

    @Test("calls and seeds differ; a call can be replayed") func calls() {
        var generator = PhiloxGenerator(seed: 1 << 33)
        let first = generator.normal(5), second = generator.normal(5)
        #expect(first != second)
        var replay = PhiloxGenerator(seed: 1 << 33, call: 1)
        #expect(replay.normal(5) == second)
        var other = PhiloxGenerator(seed: 0)
        #expect(other.normal(5) != first)
    }
}
