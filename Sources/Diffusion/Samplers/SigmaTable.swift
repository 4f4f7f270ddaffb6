/// How noise levels are spread between the largest and the smallest, where they do not follow the timesteps.
enum LevelSpacing {
    /// Karras et al. 2022 (arXiv:2206.00364, eq. 5) with ρ = 7.
    case karras
    /// Equal ratios.
    case exponential
    /// Equal steps in λ over the whole table (Lu et al. 2022, arXiv:2206.00927): equal ratios that heed no bounds.
    case lu

    /// What the file asks of a class that knows these spacings.
    /// - Throws: `DiffusionError.unsupportedConfiguration` for spacings that are not followed.
    init?(_ c: SchedulerConfiguration) throws(DiffusionError) {
        for (key, isOn) in [("use_beta_sigmas", c.useBetaSigmas), ("use_flow_sigmas", c.useFlowSigmas)] where isOn == true {
            throw .unsupportedConfiguration(key: key, value: "true", supported: "use_karras_sigmas, use_exponential_sigmas, or neither")
        }
        if c.useKarrasSigmas == true {
            self = .karras
        } else if c.useExponentialSigmas == true {
            self = .exponential
        } else {
            return nil
        }
    }

    /// n levels, the largest first.
    func levels(_ n: Int, from largest: Double, to smallest: Double) -> [Double] {
        switch self {
        case .karras:
            let rho = 7.0, a = Double.power(largest, 1 / rho), b = Double.power(smallest, 1 / rho)
            return Timesteps.linspace(0, 1, n).map { Double.power(a + $0 * (b - a), rho) }
        case .exponential, .lu:
            return Timesteps.linspace(Double.logarithm(largest), Double.logarithm(smallest), n).map { Double.exponential($0) }
        }
    }
}

/// Noise levels of the training timesteps, read in both directions as diffusers' classes in σ do.
struct SigmaTable {
    private let sigmas: [Float]
    private let logs: [Float]

    init(_ schedule: NoiseSchedule) {
        sigmas = schedule.sigmas
        logs = sigmas.map { Float.logarithm($0) }
    }

    var smallest: Double { Double(sigmas[0]) }
    var largest: Double { Double(sigmas[sigmas.count - 1]) }

    /// σ at a timestep that may lie between two, linear in σ; beyond the ends, the end's.
    func sigma(at timestep: Double) -> Double {
        let low = min(max(Int(timestep.rounded(.down)), 0), sigmas.count - 1), high = min(low + 1, sigmas.count - 1)
        let fraction = timestep - Double(low)
        return Double(sigmas[low]) + fraction * (Double(sigmas[high]) - Double(sigmas[low]))
    }

    /// The timestep of a σ, linear in log σ between table entries.
    func timestep(of sigma: Double) -> Double {
        let log = Double.logarithm(max(sigma, 1e-10))
        let above = logs.firstIndex { Double($0) > log } ?? logs.count
        let low = min(max(above - 1, 0), logs.count - 2)
        let (a, b) = (Double(logs[low]), Double(logs[low + 1]))
        let weight = min(max((a - log) / (a - b), 0), 1)
        return (1 - weight) * Double(low) + weight * Double(low + 1)
    }
}
