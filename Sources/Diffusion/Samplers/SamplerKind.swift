import Text

/// The samplers there are, each following one diffusers class made `from_config` of the checkpoint's scheduler configuration.
public enum SamplerKind: String, Codable, Sendable, CaseIterable {
    case ddim
    case pndm
    case lms
    case euler
    case eulerAncestral = "euler_a"
    case heun
    case kdpm2 = "dpm_2"
    case kdpm2Ancestral = "dpm_2_a"
    case dpmSolverMultistep = "dpmsolver++"
    case dpmSolverMultistepKarras = "dpmsolver++_karras"
    case dpmSolverMultistepSDE = "dpmsolver++_sde"
    case uniPC = "unipc"
    case lcm

    static let names = allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")

    /// Every name of this program and sd-scripts: the cases' own, and `k_` before those that k-diffusion has.
    public static let spellings = allCases.map(\.rawValue) + [.lms, .euler, .eulerAncestral, .kdpm2, .kdpm2Ancestral].map { (kind: Self) in "k_\(kind.rawValue)" }

    /// Other spellings: WebUI's and diffusers' class names; compared without case, spaces, `_` and `-`.
    private static let aliases: [String: SamplerKind] = {
        var table: [String: SamplerKind] = [
            "ddimscheduler": .ddim, "pndmscheduler": .pndm, "plms": .pndm, "lmsdiscretescheduler": .lms, "eulerdiscretescheduler": .euler,
            "eulerancestral": .eulerAncestral, "eulerancestraldiscretescheduler": .eulerAncestral, "heundiscretescheduler": .heun,
            "kdpm2": .kdpm2, "kdpm2discretescheduler": .kdpm2, "kdpm2a": .kdpm2Ancestral, "kdpm2ancestraldiscretescheduler": .kdpm2Ancestral,
            "dpm++2m": .dpmSolverMultistep, "dpmpp2m": .dpmSolverMultistep, "dpmsolvermultistepscheduler": .dpmSolverMultistep,
            "dpm++2mkarras": .dpmSolverMultistepKarras, "dpmpp2mkarras": .dpmSolverMultistepKarras,
            "dpm++2msde": .dpmSolverMultistepSDE, "dpmpp2msde": .dpmSolverMultistepSDE, "unipcmultistepscheduler": .uniPC, "lcmscheduler": .lcm,
        ]
        for kind in allCases {
            table[plain(kind.rawValue)] = kind
            table["k" + plain(kind.rawValue)] = kind
        }
        return table
    }()

    private static func plain(_ name: String) -> String { name.lowercased().filter { !" _-".contains($0) } }

    /// - Throws: `DiffusionError.unknownSampler` with the nearest name.
    public init(named name: String) throws(DiffusionError) {
        guard let kind = Self.aliases[Self.plain(name)] else { throw .unknownSampler(name, nearest: nearestName(to: name, among: Self.spellings)) }
        self = kind
    }

    /// Any spelling is read, so that records with older names stay readable.
    public init(from decoder: any Decoder) throws { try self.init(named: decoder.singleValueContainer().decode(String.self)) }

    /// The name people know.
    public var title: String {
        switch self {
        case .ddim: "DDIM"
        case .pndm: "PNDM"
        case .lms: "LMS"
        case .euler: "Euler"
        case .eulerAncestral: "Euler a"
        case .heun: "Heun"
        case .kdpm2: "DPM2"
        case .kdpm2Ancestral: "DPM2 a"
        case .dpmSolverMultistep: "DPM++ 2M"
        case .dpmSolverMultistepKarras: "DPM++ 2M Karras"
        case .dpmSolverMultistepSDE: "DPM++ 2M SDE"
        case .uniPC: "UniPC"
        case .lcm: "LCM"
        }
    }

    /// A sampler of this kind with its steps laid out.
    /// - Throws: `DiffusionError.stepsOutOfRange` when the schedule has fewer timesteps, or there are none to do;
    ///   `DiffusionError.unsupportedConfiguration` for what this sampler cannot follow.
    public func sampler(_ schedule: NoiseSchedule, steps: Int) throws(DiffusionError) -> any Sampler {
        let allowed = 1...schedule.trainTimesteps
        guard allowed.contains(steps) else { throw .stepsOutOfRange(steps, allowed: allowed) }
        let schedule = NoiseSchedule(asRead(schedule.configuration))
        switch self {
        case .ddim: return DDIMSampler(schedule, steps: steps)
        case .pndm: return try PNDMSampler(schedule, steps: steps)
        case .lms: return try LMSSampler(schedule, steps: steps)
        case .euler: return try EulerSampler(schedule, steps: steps)
        case .eulerAncestral: return EulerAncestralSampler(schedule, steps: steps)
        case .heun: return try HeunSampler(schedule, steps: steps)
        case .kdpm2: return try KDPM2Sampler(schedule, steps: steps, isAncestral: false)
        case .kdpm2Ancestral: return try KDPM2Sampler(schedule, steps: steps, isAncestral: true)
        case .dpmSolverMultistep, .dpmSolverMultistepKarras, .dpmSolverMultistepSDE: return try DPMSolverMultistepSampler(schedule, steps: steps)
        case .uniPC: return try UniPCSampler(schedule, steps: steps)
        case .lcm: return try LCMSampler(schedule, steps: steps)
        }
    }

    /// The configuration with this class's own noise process where the file is silent, without the zero terminal SNR where the class
    /// knows none, and with what the name asks for.
    private func asRead(_ configuration: SchedulerConfiguration) -> SchedulerConfiguration {
        var c = configuration
        switch self {
        case .heun, .kdpm2, .kdpm2Ancestral:
            c.betaStart = c.betaStart ?? 0.00085
            c.betaEnd = c.betaEnd ?? 0.012
        case .lcm:
            c.betaStart = c.betaStart ?? 0.00085
            c.betaEnd = c.betaEnd ?? 0.012
            c.betaSchedule = c.betaSchedule ?? .scaledLinear
        case .dpmSolverMultistepKarras: c.useKarrasSigmas = true
        case .dpmSolverMultistepSDE: c.algorithmType = "sde-dpmsolver++"
        default: break
        }
        if [.pndm, .lms, .heun, .kdpm2, .kdpm2Ancestral].contains(self) { c.rescaleBetasZeroSNR = false }
        return c
    }
}
