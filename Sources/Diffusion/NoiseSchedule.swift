import TensorCore

/// The forward process of a checkpoint: `x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε` (Ho et al. 2020, arXiv:2006.11239, eq. 4).
///
/// Tables are float32, made as diffusers makes them, so that both start from the same numbers.
public struct NoiseSchedule: Sendable {
    public let configuration: SchedulerConfiguration
    /// β_t, one for each training timestep.
    public let betas: [Float]
    /// ᾱ_t, the cumulative product of `1 − β`.
    public let alphasCumprod: [Float]

    public var trainTimesteps: Int { betas.count }

    /// A silent file means β linear from 0.0001 to 0.02, the default of most diffusers classes.
    public init(_ configuration: SchedulerConfiguration = SchedulerConfiguration()) {
        self.configuration = configuration
        let n = configuration.trainTimesteps, start = configuration.betaStart ?? 0.0001, end = configuration.betaEnd ?? 0.02
        var betas: [Float]
        if let trained = configuration.trainedBetas {
            betas = trained.map { Float($0) }
        } else {
            betas = switch configuration.betaSchedule ?? .linear {
            case .linear: Self.linspace(start, end, n)
            case .scaledLinear: Self.linspace(start.squareRoot(), end.squareRoot(), n).map { $0 * $0 }
            case .squaredCosine: Self.squaredCosine(n)
            }
        }
        if configuration.rescaleBetasZeroSNR { betas = Self.rescaledToZeroTerminalSNR(betas) }
        self.betas = betas
        alphasCumprod = Self.cumulativeProduct(betas.map { 1 - $0 })
    }

    /// `torch.linspace`: the first half counts up from the start, the second down from the end, rounded once (fused multiply-add).
    private static func linspace(_ start: Double, _ end: Double, _ n: Int) -> [Float] {
        let (a, b) = (Float(start), Float(end))
        let step = (b - a) / Float(n - 1)
        return (0..<n).map { i in i < n / 2 ? a.addingProduct(step, Float(i)) : b.addingProduct(-step, Float(n - 1 - i)) }
    }

    /// β of ᾱ(u) = cos²(π/2 · (u + 0.008) / 1.008), at most 0.999 (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
    private static func squaredCosine(_ n: Int) -> [Float] {
        func bar(_ u: Double) -> Double {
            let root = Double.cosine((u + 0.008) / 1.008 * Double.pi / 2)
            return root * root
        }
        return (0..<n).map { Float(min(1 - bar(Double($0 + 1) / Double(n)) / bar(Double($0) / Double(n)), 0.999)) }
    }

    /// `torch.cumprod`: accumulated in double precision, stored as float32.
    private static func cumulativeProduct(_ values: [Float]) -> [Float] {
        var product = 1.0
        return values.map { value in
            product *= Double(value)
            return Float(product)
        }
    }

    /// β such that nothing of the picture is left at the last timestep (Lin et al. 2023, arXiv:2305.08891, algorithm 1).
    private static func rescaledToZeroTerminalSNR(_ betas: [Float]) -> [Float] {
        var roots = cumulativeProduct(betas.map { 1 - $0 }).map { $0.squareRoot() }
        let first = roots[0], last = roots[roots.count - 1]
        let scale = first / (first - last)
        roots = roots.map { ($0 - last) * scale }
        let bars = roots.map { $0 * $0 }
        return bars.indices.map { i in 1 - (i == 0 ? bars[0] : bars[i] / bars[i - 1]) }
    }

    /// σ_t = √((1−ᾱ_t)/ᾱ_t), noise per unit of signal, for every training timestep. With zero terminal SNR the last one is kept
    /// finite by ᾱ = 2⁻²⁴, as diffusers' sigma-space classes do.
    public var sigmas: [Float] {
        var bars = alphasCumprod
        if configuration.rescaleBetasZeroSNR { bars[bars.count - 1] = 0x1p-24 }
        return bars.map { ((1 - $0) / $0).squareRoot() }
    }

    /// ᾱ_t / (1 − ᾱ_t).
    public func signalToNoise(_ timestep: Int) -> Float {
        alphasCumprod[timestep] / (1 - alphasCumprod[timestep])
    }

    /// - Parameters:
    ///   - latents: clean latents x₀ `[B, H, W, C]`, scaled as the denoiser sees them.
    ///   - noise: ε, of the same shape.
    ///   - timesteps: one of `0..<trainTimesteps` for each of the B pictures.
    /// - Returns: x_t `[B, H, W, C]`.
    public func addNoise(_ latents: Tensor, noise: Tensor, timesteps: [Int]) -> Tensor {
        let (signal, deviation) = coefficients(timesteps, rank: latents.rank)
        return latents * signal + noise * deviation
    }

    /// What a v-prediction model is trained to say: `v = √ᾱ ε − √(1−ᾱ) x₀`. Shapes as in `addNoise`.
    public func velocity(_ latents: Tensor, noise: Tensor, timesteps: [Int]) -> Tensor {
        let (signal, deviation) = coefficients(timesteps, rank: latents.rank)
        return noise * signal - latents * deviation
    }

    /// √ᾱ_t and √(1−ᾱ_t), each `[B, 1, …, 1]`.
    private func coefficients(_ timesteps: [Int], rank: Int) -> (signal: Tensor, deviation: Tensor) {
        let shape = [timesteps.count] + [Int](repeating: 1, count: rank - 1)
        let bars = timesteps.map { alphasCumprod[$0] }
        return (Tensor(bars.map { $0.squareRoot() }, shape: shape), Tensor(bars.map { (1 - $0).squareRoot() }, shape: shape))
    }
}
