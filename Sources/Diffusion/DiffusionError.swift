/// A sampler, a schedule or a prompt line was asked for something that does not exist or lies outside its range.
public enum DiffusionError: Error, Equatable, Sendable {
    /// A sampler's name nobody knows; with the known name nearest to it, if one is near.
    case unknownSampler(String, nearest: String?)
    /// Sampling steps outside the range the schedule allows.
    case stepsOutOfRange(Int, allowed: ClosedRange<Int>)
    /// A schedule's configuration that cannot be followed: the key, what it held, what is understood.
    case unsupportedConfiguration(key: String, value: String, supported: String)
    /// A prompt line's flag nobody knows; with the known flag nearest to it, if one is near.
    case unknownPromptFlag(String, nearest: String?, line: String)
    /// A prompt line's flag whose value does not read as what it needs.
    case invalidPromptValue(flag: String, value: String, expected: String, line: String)
    /// A prompt line's flag without a value.
    case missingPromptValue(flag: String, expected: String, line: String)
}

extension DiffusionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unknownSampler(let name, let nearest):
            "There is no sampler `\(name)`\(Self.near(nearest)). Known are \(SamplerKind.names)."
        case .stepsOutOfRange(let steps, let allowed):
            "\(steps) sampling steps: the range of this sampler on this model is \(allowed.lowerBound) to \(allowed.upperBound)."
        case .unsupportedConfiguration(let key, let value, let supported):
            "The scheduler's configuration has \(key) = \(value); understood are \(supported)."
        case .unknownPromptFlag(let flag, let nearest, let line):
            "The prompt line `\(line)` has the flag `--\(flag)`, which does not exist\(Self.near(nearest.map { "--" + $0 })). Known are \(SamplePrompt.flags)."
        case .invalidPromptValue(let flag, let value, let expected, let line):
            "`--\(flag) \(value)` in the prompt line `\(line)`: expected \(expected)."
        case .missingPromptValue(let flag, let expected, let line):
            "`--\(flag)` in the prompt line `\(line)` has no value: expected \(expected)."
        }
    }

    private static func near(_ name: String?) -> String { name.map { "; the nearest is `\($0)`" } ?? "" }
}
