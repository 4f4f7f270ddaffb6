import Text

/// One picture to draw, as a line of Kohya's sample prompts says it: text, then ` --flag value`; `--rng` is ours.
public struct SamplePrompt: Sendable, Equatable, Codable {
    public var text: String
    public var negative: String
    /// Pixels; multiples of 8.
    public var width: Int
    public var height: Int
    /// nil: a fresh one each time.
    public var seed: UInt64?
    /// Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598); up to 1 is off.
    public var guidanceScale: Float
    public var steps: Int
    /// nil: the caller's default.
    public var sampler: SamplerKind?
    /// Whose random numbers the seed starts; nil: PyTorch's on processors.
    public var rng: NoiseDevice?

    public static let stepRange = 1...1000
    static let flags = Flag.allCases.map { "`--\($0.rawValue)`" }.joined(separator: ", ")

    /// sd-scripts' defaults.
    public init(
        _ text: String, negative: String = "", width: Int = 512, height: Int = 512, seed: UInt64? = nil, guidanceScale: Float = 7.5,
        steps: Int = 30, sampler: SamplerKind? = nil, rng: NoiseDevice? = nil
    ) {
        self.text = text
        self.negative = negative
        self.width = width
        self.height = height
        self.seed = seed
        self.guidanceScale = guidanceScale
        self.steps = steps
        self.sampler = sampler
        self.rng = rng
    }

    /// The flags, and what each one's value has to be.
    private enum Flag: String, CaseIterable {
        case n, w, h, d, l, s, ss, rng

        var expected: String {
            switch self {
            case .n: "the negative prompt's text"
            case .w, .h: "pixels, 64 to 8192 (rounded down to a multiple of 8)"
            case .d: "a seed, a whole number from 0 to 4294967295"
            case .l: "the guidance scale, a number from 0 to 100"
            case .s: "sampling steps, a whole number (held between 1 and 1000)"
            case .ss: "a sampler: \(SamplerKind.names)"
            case .rng: "whose random numbers: \(NoiseDevice.names)"
            }
        }
    }

    /// The prompts of a file or a cell: blank lines and lines that begin with `#` are skipped.
    /// - Parameter defaults: what a line does not say.
    public static func parse(lines: String, defaults: SamplePrompt = SamplePrompt("")) throws(DiffusionError) -> [SamplePrompt] {
        var prompts: [SamplePrompt] = []
        for line in lines.split(whereSeparator: \.isNewline) {
            let trimmed = line.trimmingSpaces
            if !trimmed.isEmpty, trimmed.first != "#" { prompts.append(try SamplePrompt(line: String(trimmed), defaults: defaults)) }
        }
        return prompts
    }

    /// - Throws: `DiffusionError` naming the flag, its value and what was expected.
    public init(line: String, defaults: SamplePrompt = SamplePrompt("")) throws(DiffusionError) {
        self = defaults
        let (head, parts) = Self.split(line)
        if !head.isEmpty || defaults.text.isEmpty { text = head }
        for part in parts {
            let words = part[...].trimmingSpaces.split(separator: " ", maxSplits: 1)
            let name = words.first.map { String($0).lowercased() } ?? ""
            guard let flag = Flag(rawValue: name) else {
                throw .unknownPromptFlag(name, nearest: nearestName(to: name, among: Flag.allCases.map(\.rawValue)), line: line)
            }
            guard words.count == 2 else {
                if flag == .n {         // `--n` alone: no negative prompt
                    negative = ""
                    continue
                }
                throw .missingPromptValue(flag: name, expected: flag.expected, line: line)
            }
            try set(flag, to: String(words[1].trimmingSpaces), line: line)
        }
    }

    /// The text before the first flag, and each flag with its value. A ` --` that no letter follows is part of the text.
    private static func split(_ line: String) -> (text: String, flags: [String]) {
        var pieces: [String] = []
        for piece in (" " + line).split(separator: " --", omittingEmptySubsequences: false) {
            if let last = pieces.indices.last, piece.first?.isLetter != true {
                pieces[last] += " --" + piece
            } else {
                pieces.append(String(piece))
            }
        }
        return (String(pieces[0][...].trimmingSpaces), Array(pieces.dropFirst()))
    }

    private mutating func set(_ flag: Flag, to value: String, line: String) throws(DiffusionError) {
        let invalid = DiffusionError.invalidPromptValue(flag: flag.rawValue, value: value, expected: flag.expected, line: line)
        switch flag {
        case .n: negative = value
        case .w, .h:
            guard let pixels = Int(value), (1...8192).contains(pixels) else { throw invalid }
            let side = max(64, pixels - pixels % 8)
            if flag == .w { width = side } else { height = side }
        case .d:
            guard let number = UInt64(value), number <= UInt64(UInt32.max) else { throw invalid }
            seed = number
        case .l:
            guard let number = Float(value), (0...100).contains(number) else { throw invalid }
            guidanceScale = number
        case .s:
            guard let number = Int(value) else { throw invalid }
            steps = min(max(number, Self.stepRange.lowerBound), Self.stepRange.upperBound)
        case .ss: sampler = try SamplerKind(named: value)
        case .rng:
            guard let device = NoiseDevice(rawValue: value.lowercased()) else { throw invalid }
            rng = device
        }
    }
}

extension Substring {
    var trimmingSpaces: Substring {
        var text = self
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}
