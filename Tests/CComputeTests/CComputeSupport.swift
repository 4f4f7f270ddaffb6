import CCompute
import Testing

/// Everything about CCompute. One test at a time, because they choose the instruction set for the process.
@Suite("CCompute", .serialized) struct CComputeTests {}

/// The levels this processor has.
let instructionSets = [CC_ISA_GENERIC, CC_ISA_AVX2, CC_ISA_AVX512, CC_ISA_NEON].filter(cc_supports_isa)

/// Runs `body` once per instruction set and puts the best one back.
func onEveryInstructionSet(_ body: () throws -> Void) rethrows {
    let best = cc_current_isa()
    defer { _ = cc_set_isa(best) }
    for isa in instructionSets {
        _ = cc_set_isa(isa)
        try body()
    }
}

/// A small generator, so that random shapes and values are the same in every run.
struct TestNumbers {
    var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {  // xorshift64*, Vigna 2016
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
    mutating func integer(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(next() >> 33) % range.count }
    mutating func bool() -> Bool { next() >> 63 == 1 }
    mutating func floats(_ count: Int, _ range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in range.lowerBound + Float(next() >> 40) / Float(1 << 24) * (range.upperBound - range.lowerBound) }
    }
}

/// The largest difference, in units of the reference's root mean square plus `floor`: the size of the terms whose sum the
/// reference is, where they may cancel.
func relativeError(_ values: [Float], _ reference: [Double], floor: Double = 1e-3) -> Double {
    precondition(values.count == reference.count)
    guard !values.isEmpty else { return 0 }
    let meanSquare = reference.reduce(0) { $0 + $1 * $1 } / Double(reference.count)
    var worst = 0.0
    for (value, expected) in zip(values, reference) {
        if value.isInfinite || expected.isInfinite {
            if Double(value) != expected { return .infinity }
            continue
        }
        let difference = abs(Double(value) - expected)
        if !(difference <= worst) { worst = difference }  // a NaN is the worst
        if worst.isNaN { return .nan }
    }
    return worst / (meanSquare.squareRoot() + floor)
}

/// A plain sum of a few thousand products in float32.
let sumTolerance = 2e-5
/// F(4×4) Winograd: 36 transformed values of up to 100 times the size cancel to a result.
let winogradTolerance = 3e-4
