import Checkpoints
import TensorCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A weight source that makes values where a file would read them.
public protocol InitializingSource: WeightSource {
    /// - Parameters:
    ///   - shape: the shape that a checkpoint would hold.
    ///   - initial: the distribution to draw from.
    func tensor(_ key: String, shape: [Int], initial: InitialValue) -> Tensor
}

/// Seeded initial values, so that a model can be made without a file.
///
/// Each key has a counter-based stream of its own (SplitMix64, Steele et al. 2014, started from the seed and the key's
/// FNV-1a hash): the values do not depend on the order in which layers are built.
public final class FreshWeights: InitializingSource {
    public let seed: UInt64

    public init(seed: UInt64) { self.seed = seed }

    /// Nothing is stored, so optional weights are absent unless the configuration asks for them.
    public func contains(_ key: String) -> Bool { false }
    public var keys: [String] { [] }
    public var files: [MappedFile] { [] }
    public var location: String { "initial values of seed \(seed)" }

    /// Weights without a stated distribution: PyTorch's fan-in rule for matrices and kernels, zeros for vectors.
    public func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        tensor(key, shape: shape, initial: shape.count > 1 ? .fanIn(shape.dropFirst().reduce(1, *)) : .zeros)
    }

    public func tensor(_ key: String, shape: [Int], initial: InitialValue) -> Tensor {
        let stream = CounterStream(seed: seed, key: key)
        return Tensor(shape: shape) { values in
            switch initial {
            case .constant(let value): values.update(repeating: value)
            case .uniform(let bound):
                for i in values.indices { values[i] = (2 * stream.uniform(at: i) - 1) * bound }
            case .normal(let deviation):
                for i in values.indices { values[i] = stream.normal(at: i) * deviation }
            }
        }
    }
}

/// Random numbers as a pure function of a key and a position.
package struct CounterStream: Sendable {
    private let base: UInt64

    package init(seed: UInt64, key: String) {
        var hash = FNV1a()
        hash.add(key)
        base = Self.mixed(seed &+ 0x9e37_79b9_7f4a_7c15) ^ hash.value
    }

    /// Uniform on `[0, 1)`, a multiple of 2⁻²⁴.
    package func uniform(at position: Int) -> Float { Float(bits(position) >> 40) * 0x1p-24 }

    /// Standard normal by Box and Muller's transform of two uniforms.
    package func normal(at position: Int) -> Float {
        let radius = (-2 * log(1 - unit(2 * position))).squareRoot()
        return Float(radius * cos(2 * .pi * unit(2 * position + 1)))
    }

    private func unit(_ position: Int) -> Double { Double(bits(position) >> 11) * 0x1p-53 }

    private func bits(_ position: Int) -> UInt64 {
        Self.mixed(base &+ (UInt64(position) &+ 1) &* 0x9e37_79b9_7f4a_7c15)
    }

    /// SplitMix64's finalizer.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
