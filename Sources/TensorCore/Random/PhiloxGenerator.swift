#if canImport(Glibc)
import Glibc
#endif

/// The normals an NVIDIA device draws in PyTorch for the same seed ("NV" in Stable Diffusion WebUI): Philox4x32-10 with one
/// counter per element and one per call.
///
/// Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"; counters as WebUI's rng_philox lays them out.
public struct PhiloxGenerator: Sendable, Equatable {
    private let key: (UInt32, UInt32)
    /// How many times numbers were drawn: the first counter word.
    public private(set) var call: UInt32

    public init(seed: UInt64, call: UInt32 = 0) {
        key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        self.call = call
    }

    public static func == (a: Self, b: Self) -> Bool { a.key == b.key && a.call == b.call }

    /// `torch.randn(n, device="cuda")`.
    public mutating func normal(_ n: Int) -> [Float] {
        defer { call &+= 1 }
        return (0..<n).map { i in
            let (g0, g1) = Self.rounds(counter: (call, 0, UInt32(truncatingIfNeeded: i), 0), key: key)
            let scale: Float = 2.3283064e-10, angleScale: Float = 2.3283064e-10 * 2 * Float.pi
            let u = Float(g0) * scale + scale / 2
            let v = Float(g1) * angleScale + angleScale / 2
            return (-2 * logf(u)).squareRoot() * sinf(v)
        }
    }

    private static func rounds(counter: (UInt32, UInt32, UInt32, UInt32), key: (UInt32, UInt32)) -> (UInt32, UInt32) {
        var c = counter, k = key
        for _ in 0..<10 {
            let (high0, low0) = (0xD251_1F53 as UInt32).multipliedFullWidth(by: c.0)
            let (high1, low1) = (0xCD9E_8D57 as UInt32).multipliedFullWidth(by: c.2)
            c = (high1 ^ c.1 ^ k.0, low1, high0 ^ c.3 ^ k.1, low0)
            k = (k.0 &+ 0x9E37_79B9, k.1 &+ 0xBB67_AE85)
        }
        return (c.0, c.1)
    }
}
