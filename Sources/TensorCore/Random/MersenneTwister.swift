/// MT19937, 32 bits a draw.
///
/// Source: Matsumoto & Nishimura 1998, "Mersenne Twister"; initialisation by Knuth's multiplier 1812433253, as PyTorch's
/// CPU generator seeds it.
struct MersenneTwister: Sendable, Equatable {
    static let stateSize = 624
    private static let shift = 397

    private(set) var state: [UInt32]
    /// Index of the next word of `state` to hand out; `stateSize` means that the whole state has to be renewed first.
    private(set) var position: Int

    /// - Parameter seed: only its low 32 bits count, as in PyTorch.
    init(seed: UInt64) {
        state = [UInt32](repeating: 0, count: Self.stateSize)
        state[0] = UInt32(truncatingIfNeeded: seed)
        for i in 1..<Self.stateSize {
            let previous = state[i - 1]
            state[i] = 1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(i)
        }
        position = Self.stateSize
    }

    /// A generator at a recorded place; nil when the words cannot be a state of MT19937.
    init?(state: [UInt32], position: Int) {
        guard state.count == Self.stateSize, (0...Self.stateSize).contains(position) else { return nil }
        self.state = state
        self.position = position
    }

    mutating func next() -> UInt32 {
        if position == Self.stateSize { renew() }
        var y = state[position]
        position += 1
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C_5680
        y ^= (y << 15) & 0xEFC6_0000
        y ^= y >> 18
        return y
    }

    private mutating func renew() {
        let n = Self.stateSize
        state.withUnsafeMutableBufferPointer { s in
            for i in 0..<n {
                let y = (s[i] & 0x8000_0000) | (s[(i + 1) % n] & 0x7FFF_FFFF)
                s[i] = s[(i + Self.shift) % n] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
            }
        }
        position = 0
    }
}
