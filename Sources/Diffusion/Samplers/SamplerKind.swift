/// The samplers there are, each following one diffusers class.
public enum SamplerKind: String, Codable, Sendable, CaseIterable {
    case ddim
    case euler
    case eulerAncestral = "euler_a"
    case heun
    case dpmSolverMultistep = "dpm++_2m"
    case dpmSolverMultistepKarras = "dpm++_2m_karras"

    static let names = allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")

    /// Other spellings: sd-scripts', WebUI's, diffusers' class names; compared without case, spaces, `_` and `-`.
    private static let aliases: [String: SamplerKind] = [
        "ddim": .ddim, "ddimscheduler": .ddim,
        "euler": .euler, "keuler": .euler, "eulerdiscretescheduler": .euler,
        "eulera": .eulerAncestral, "keulera": .eulerAncestral, "eulerancestral": .eulerAncestral,
        "eulerancestraldiscretescheduler": .eulerAncestral,
        "heun": .heun, "heundiscretescheduler": .heun,
        "dpm++2m": .dpmSolverMultistep, "dpmsolver++": .dpmSolverMultistep, "dpmpp2m": .dpmSolverMultistep,
        "dpmsolvermultistepscheduler": .dpmSolverMultistep,
        "dpm++2mkarras": .dpmSolverMultistepKarras, "dpmsolver++karras": .dpmSolverMultistepKarras,
        "dpmpp2mkarras": .dpmSolverMultistepKarras,
    ]

    /// - Throws: `DiffusionError.unknownSampler` with the nearest name.
    public init(named name: String) throws(DiffusionError) {
        let plain = name.lowercased().filter { !" _-".contains($0) }
        guard let kind = Self.aliases[plain] else {
            throw .unknownSampler(name, nearest: nearest(to: name, in: Self.allCases.map(\.rawValue)))
        }
        self = kind
    }

    /// The name people know.
    public var title: String {
        switch self {
        case .ddim: "DDIM"
        case .euler: "Euler"
        case .eulerAncestral: "Euler a"
        case .heun: "Heun"
        case .dpmSolverMultistep: "DPM++ 2M"
        case .dpmSolverMultistepKarras: "DPM++ 2M Karras"
        }
    }

    /// A sampler of this kind with its steps laid out.
    /// - Throws: `DiffusionError.stepsOutOfRange` when the schedule has fewer timesteps, or there are none to do.
    public func sampler(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) -> any Sampler {
        let allowed = 1...schedule.trainTimesteps
        guard allowed.contains(steps) else { throw .stepsOutOfRange(steps, allowed: allowed) }
        switch self {
        case .ddim: return DDIMSampler(schedule, steps: steps)
        case .euler: return EulerSampler(schedule, steps: steps)
        case .eulerAncestral: return EulerAncestralSampler(schedule, steps: steps)
        case .heun: return HeunSampler(schedule, steps: steps)
        case .dpmSolverMultistep: return DPMSolverMultistepSampler(schedule, steps: steps, karras: schedule.configuration.useKarrasSigmas ?? false)
        case .dpmSolverMultistepKarras: return DPMSolverMultistepSampler(schedule, steps: steps, karras: true)
        }
    }
}
