#if canImport(Glibc)
import Glibc
#endif

/// The numbers PyTorch's CPU generator draws for the same seed: integers, uniforms and permutations bit for bit, normals to
/// about 1e-6 (PyTorch's vectorised logarithm, sine and cosine are approximations of their own).
///
/// A value: copying it copies the place in the sequence, so a copy kept aside replays the same draws.
/// Source: at::CPUGeneratorImpl and at::native's CPU distributions, checked against torch 2.15.
public struct TorchGenerator: Sendable, Equatable {
    private var engine: MersenneTwister
    /// The second normal of a pair drawn by the short path; PyTorch keeps it in the generator across calls.
    private var cachedNormal: Double?

    /// - Parameter seed: its low 32 bits count.
    public init(seed: UInt64) { engine = MersenneTwister(seed: seed) }

    /// `torch.Tensor.random_()` of one 32-bit word.
    public mutating func nextWord() -> UInt32 { engine.next() }

    /// Two words, the first one being the high half.
    public mutating func nextDoubleWord() -> UInt64 {
        let high = UInt64(engine.next())
        return high << 32 | UInt64(engine.next())
    }

    // MARK: Uniform

    /// `torch.rand(1)`: 24 random bits in [0, 1).
    public mutating func uniform() -> Float { Float(engine.next() & 0xFF_FFFF) * 0x1p-24 }

    /// `torch.rand(n)`.
    public mutating func uniform(_ n: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: n) { buffer, count in
            for i in 0..<n { buffer[i] = uniform() }
            count = n
        }
    }

    /// 53 random bits in [0, 1).
    private mutating func uniformDouble() -> Double { Double(nextDoubleWord() & (1 << 53 - 1)) * 0x1p-53 }

    // MARK: Integers

    /// `torch.randint(0, bound, (1,))`. Ranges from 2^28 on take a double word, as PyTorch does to keep the skew small.
    public mutating func integer(below bound: Int) -> Int {
        precondition(bound > 0, "integer(below: \(bound)): the bound must be positive")
        if bound >= 1 << 28 { return Int(nextDoubleWord() % UInt64(bound)) }
        return Int(engine.next() % UInt32(bound))
    }

    /// `torch.randint(range.lowerBound, range.upperBound, (n,))`.
    public mutating func integers(_ n: Int, in range: Range<Int>) -> [Int] {
        (0..<n).map { _ in range.lowerBound + integer(below: range.count) }
    }

    /// `torch.randperm(n)`.
    public mutating func permutation(_ n: Int) -> [Int] {
        var order = Array(0..<n)
        guard n > 1 else { return order }
        for i in 0..<(n - 1) { order.swapAt(i, i + Int(engine.next() % UInt32(n - i))) }
        return order
    }

    // MARK: Normal

    /// `torch.randn(n)`: float32 normals of mean 0 and deviation 1.
    public mutating func normal(_ n: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: n) { buffer, count in
            fillNormal(UnsafeMutableBufferPointer(start: buffer.baseAddress, count: n))
            count = n
        }
    }

    /// Fills `values` as `torch.randn` fills a contiguous float32 tensor of that many elements.
    public mutating func fillNormal(_ values: UnsafeMutableBufferPointer<Float>) {
        let n = values.count, group = 16
        guard n >= group else {
            for i in 0..<n { values[i] = Float(nextNormal()) }
            return
        }
        for i in 0..<n { values[i] = uniform() }
        for start in stride(from: 0, through: n - group, by: group) { Self.boxMuller(values, at: start) }
        if n % group != 0 {
            // The tail is covered by 16 fresh draws that overlap what the last full group wrote.
            for i in (n - group)..<n { values[i] = uniform() }
            Self.boxMuller(values, at: n - group)
        }
    }

    /// Eight pairs at once: uniforms `start..<start+8` give radii, the next eight give angles.
    private static func boxMuller(_ values: UnsafeMutableBufferPointer<Float>, at start: Int) {
        for j in start..<(start + 8) {
            let radius = (-2 * logf(1 - values[j])).squareRoot()
            let angle = 2 * Float.pi * values[j + 8]
            values[j] = radius * cosf(angle)
            values[j + 8] = radius * sinf(angle)
        }
    }

    /// One normal by the short path, in double precision (`torch.randn` of fewer than 16 elements).
    private mutating func nextNormal() -> Double {
        if let cached = cachedNormal {
            cachedNormal = nil
            return cached
        }
        let angle = 2 * Double.pi * uniformDouble()
        let radius = (-2 * log1p(-uniformDouble())).squareRoot()
        cachedNormal = radius * sin(angle)
        return radius * cos(angle)
    }
}

// MARK: - State

/// A recorded state could not be one of this generator.
public enum RandomStateError: Error, Equatable {
    /// Bytes expected and found.
    case wrongSize(expected: Int, found: Int)
    case invalidPosition(Int)
}

extension TorchGenerator {
    /// State words, position, and the cached normal with a flag: little-endian, always the same size.
    private static let stateBytes = MersenneTwister.stateSize * 4 + 4 + 1 + 8

    /// The place in the sequence as bytes; `init(state:)` continues from it exactly.
    public var state: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.stateBytes)
        for word in engine.state + [UInt32(engine.position)] { withUnsafeBytes(of: word.littleEndian) { bytes += $0 } }
        bytes.append(cachedNormal == nil ? 0 : 1)
        withUnsafeBytes(of: (cachedNormal ?? 0).bitPattern.littleEndian) { bytes += $0 }
        return bytes
    }

    /// - Throws: `RandomStateError` when the bytes were not written by `state`.
    public init(state bytes: [UInt8]) throws(RandomStateError) {
        guard bytes.count == Self.stateBytes else { throw .wrongSize(expected: Self.stateBytes, found: bytes.count) }
        func integer<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
            bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
        }
        let words = (0..<MersenneTwister.stateSize).map { integer(UInt32.self, at: $0 * 4) }
        let position = Int(integer(UInt32.self, at: words.count * 4))
        guard let engine = MersenneTwister(state: words, position: position) else { throw .invalidPosition(position) }
        self.engine = engine
        let flag = words.count * 4 + 4
        cachedNormal = bytes[flag] == 0 ? nil : Double(bitPattern: integer(UInt64.self, at: flag + 1))
    }
}

extension TorchGenerator: RandomNumberGenerator {
    public mutating func next() -> UInt64 { nextDoubleWord() }
}
