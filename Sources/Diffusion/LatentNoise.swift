import TensorCore

/// Whose random numbers make the noise.
public enum NoiseDevice: String, Codable, Sendable, CaseIterable {
    static let names = allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")

    /// PyTorch's CPU generator: diffusers on CPU, ComfyUI.
    case cpu
    /// PyTorch's CUDA generator: what WebUI draws by default on NVIDIA.
    case nvidia = "nv"
}

/// One source of latent noise: a generator of either kind.
public enum NoiseGenerator: Sendable, Equatable {
    case torch(TorchGenerator)
    case philox(PhiloxGenerator)

    public init(seed: UInt64, device: NoiseDevice = .cpu) {
        self = device == .cpu ? .torch(TorchGenerator(seed: seed)) : .philox(PhiloxGenerator(seed: seed))
    }

    mutating func normal(_ n: Int) -> [Float] {
        switch self {
        case .torch(var generator):
            defer { self = .torch(generator) }
            return generator.normal(n)
        case .philox(var generator):
            defer { self = .philox(generator) }
            return generator.normal(n)
        }
    }
}

/// Noise for latents `[B, H, W, C]`, drawn in PyTorch's order `[B, C, H, W]` so that a seed means the same picture here and there.
public struct LatentNoise: Sendable {
    /// One generator for the whole batch, or one for each picture.
    private var generators: [NoiseGenerator]

    /// A batch of pictures with a generator each: every picture's noise is what it would be alone.
    public init(_ generators: [NoiseGenerator]) { self.generators = generators }

    public init(seeds: [UInt64], device: NoiseDevice = .cpu) { self.init(seeds.map { NoiseGenerator(seed: $0, device: device) }) }

    /// One sequence for the whole batch.
    public init(_ generator: NoiseGenerator) { generators = [generator] }

    /// Normal noise of the shape `[B, H, W, C]` and on the device of `x`. With one generator per picture, B must be their number.
    public mutating func draw(like x: Tensor) -> Tensor { draw(x.shape).moved(to: x.device) }

    /// The same in the host's memory, where random numbers are made.
    public mutating func draw(_ shape: [Int]) -> Tensor {
        let values: [Float]
        if generators.count == 1 {
            values = generators[0].normal(shape.reduce(1, *))
        } else {
            precondition(generators.count == shape[0], "noise for \(shape[0]) pictures from \(generators.count) generators")
            let perPicture = shape.dropFirst().reduce(1, *)
            values = generators.indices.flatMap { generators[$0].normal(perPicture) }
        }
        return channelsLast(values, shape: shape)
    }
}

/// Values in `[B, C, H, W]` order as a tensor `[B, H, W, C]`.
package func channelsLast(_ values: [Float], shape: [Int]) -> Tensor {
    Tensor(values, shape: [shape[0], shape[3], shape[1], shape[2]]).transposed([0, 2, 3, 1])
}

extension Tensor {
    /// `torch.randn` of shape `[B, C, H, W]` as a tensor `[B, H, W, C]`.
    public static func latentNoise(_ shape: [Int], generator: inout TorchGenerator) -> Tensor {
        channelsLast(generator.normal(shape.reduce(1, *)), shape: shape)
    }
}
