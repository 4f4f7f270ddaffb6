import Adapters
import Diffusion
import Training

/// Which adapter draws: none, one that was kept, or the present one.
public enum Stage: Sendable, Hashable {
    /// The base model without an adapter; `0` and `base` on the command line.
    case base
    /// As it stood after an epoch.
    case epoch(Int)
    /// As it stands; `last` on the command line.
    case current

    /// - Throws: `LabError.invalid` for anything but a whole number, `base` and `last`.
    init(_ text: String) throws(LabError) {
        switch text.lowercased() {
        case "0", "base": self = .base
        case "last", "current": self = .current
        default:
            guard let number = Int(text), number > 0 else {
                throw .invalid("--epochs takes whole numbers, base and last, got “\(text)”", wayOut: "For example --epochs 0,1,3 or --epochs base,last.")
            }
            self = .epoch(number)
        }
    }

    package var label: String {
        switch self {
        case .base: "base"
        case .epoch(let number): "epoch \(number)"
        case .current: "now"
        }
    }
}

/// How strongly the adapter is applied to each part of the model; 1 is as trained.
public struct Strength: Sendable, Hashable {
    public var unet: Float
    public var textEncoder: Float

    public init(unet: Float = 1, textEncoder: Float = 1) { (self.unet, self.textEncoder) = (unet, textEncoder) }

    package var label: String {
        unet == textEncoder ? "strength \(Self.text(unet))" : "unet \(Self.text(unet)), te \(Self.text(textEncoder))"
    }

    private static func text(_ value: Float) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
}

/// Pictures to draw: every prompt at every stage with every strength, all with the prompt's own noise.
public struct SamplePlan: Sendable {
    public var prompts: [SamplePrompt]
    public var stages: [Stage]
    public var strengths: [Strength]
    /// Files whose adapters draw besides the session's own; their strengths are multiplied by the plan's.
    public var adapters: [AdapterReference] = []

    /// More pictures than this in one cell are a slip of the fingers.
    public static let pictureLimit = 512
    /// Characters.
    public static let promptLimit = ImageGenerator.maximumCharacters

    public init(_ prompts: [SamplePrompt], stages: [Stage] = [.current], strengths: [Strength] = [Strength()]) {
        (self.prompts, self.stages, self.strengths) = (prompts, stages, strengths)
    }

    public var count: Int { prompts.count * stages.count * strengths.count }

    /// - Throws: `LabError` when there is nothing to draw, too much, or a prompt that no encoder reads.
    public func validate() throws(LabError) {
        guard let longest = prompts.map({ max($0.text.count, $0.negative.count) }).max(), !stages.isEmpty, !strengths.isEmpty else { throw .noPrompt }
        guard !prompts.contains(where: { $0.text.isEmpty }) else { throw .noPrompt }
        guard longest <= Self.promptLimit else { throw .promptTooLong(characters: longest, limit: Self.promptLimit) }
        guard count <= Self.pictureLimit else { throw .tooManyPictures(asked: count, limit: Self.pictureLimit) }
    }

    /// One picture of the plan: indices into prompts, stages and strengths.
    public struct Cell: Sendable, Hashable {
        public let prompt: Int, stage: Int, strength: Int
    }

    /// Stage by stage and strength by strength, so that the adapter changes as seldom as possible.
    public var cells: [Cell] {
        stages.indices.flatMap { stage in
            strengths.indices.flatMap { strength in prompts.indices.map { Cell(prompt: $0, stage: stage, strength: strength) } }
        }
    }
}
