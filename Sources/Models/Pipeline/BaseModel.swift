import Checkpoints
import Foundation
import Neural
import TensorCore

/// A base model of Stable Diffusion's kind: tokenizer, text encoder, denoiser, autoencoder and the description of its noise
/// process, as a diffusers folder or a single file holds them.
public final class BaseModel: Sendable {
    public enum Family: String, Sendable, CaseIterable {
        case sd1 = "Stable Diffusion 1", sd2 = "Stable Diffusion 2", sdxl = "Stable Diffusion XL"
    }

    /// A tokenizer with the encoder that reads its ids.
    public struct TextPart: Sendable {
        public let tokenizer: CLIPTokenizer
        public let encoder: CLIPTextEncoder

        public init(tokenizer: CLIPTokenizer, encoder: CLIPTextEncoder) {
            self.tokenizer = tokenizer
            self.encoder = encoder
        }
    }

    /// Weights of one part.
    public struct Size: Sendable, Equatable {
        public let name: String
        public let parameters: Int
        public let bytes: Int
    }

    /// Path of the folder or file it was read from.
    public let location: String
    public let family: Family
    public let text: TextPart
    /// SDXL's second text encoder.
    public let secondText: TextPart?
    public let unet: UNet
    public let autoencoder: AutoencoderKL
    /// `scheduler_config.json` as it stands.
    public let schedulerConfiguration: Data
    /// Whether a picture drawn without a negative prompt is guided away from zeros (context and pooled vector) rather than from the
    /// states of an empty text: diffusers' rule for SDXL.
    public let zerosForEmptyPrompt: Bool
    /// What was assumed where the files do not say it, a sentence each, for the user.
    public let notes: [String]

    public init(
        location: String, family: Family? = nil, text: TextPart, secondText: TextPart? = nil, unet: UNet, autoencoder: AutoencoderKL,
        schedulerConfiguration: Data, zerosForEmptyPrompt: Bool = false, notes: [String] = []
    ) {
        self.location = location
        self.family = family ?? (secondText != nil ? .sdxl : unet.configuration.useLinearProjection ? .sd2 : .sd1)
        self.text = text
        self.secondText = secondText
        self.unet = unet
        self.autoencoder = autoencoder
        self.schedulerConfiguration = schedulerConfiguration
        self.zerosForEmptyPrompt = zerosForEmptyPrompt
        self.notes = notes
    }

    public var tokenizer: CLIPTokenizer { text.tokenizer }
    public var textEncoder: CLIPTextEncoder { text.encoder }
    /// Latents are multiplied by this on their way to the denoiser.
    public var scalingFactor: Float { Float(autoencoder.configuration.scalingFactor) }
    /// Pixels along a side of one latent cell.
    public var scale: Int { autoencoder.configuration.scale }

    /// Parts with their numbers of weights and bytes in memory.
    public var sizes: [Size] {
        var parts = [("text encoder", textEncoder.registry)]
        if let secondText { parts.append(("second text encoder", secondText.encoder.registry)) }
        parts += [("unet", unet.registry), ("autoencoder", autoencoder.registry)]
        return parts.map { Size(name: $0, parameters: $1.parameterCount, bytes: $1.byteCount) }
    }

    /// Requires that the files are still those that were loaded: to be asked before the model is used, and before what it made is. Some
    /// microseconds.
    ///
    /// - Throws: `ModelFileError.changed`, from the first time on that a change was found.
    public func requireUnchanged() throws(ModelFileError) {
        for registry in [textEncoder.registry, secondText?.encoder.registry, unet.registry, autoencoder.registry].compactMap({ $0 }) {
            try registry.requireUnchanged(wayOut: "Save an adapter that is to be kept, then load the model again: %model \(spelled(location))")
        }
    }

    // MARK: Text

    /// Text states of prompts that are used together, and for SDXL their pooled vectors.
    ///
    /// SDXL (reference §2.5): the last but one layer of both encoders, not normalised, side by side; pooled by the second. It was
    /// trained so and has no other layer to choose, so `clipSkip` does not count.
    ///
    /// - Parameters:
    ///   - clipSkip: n takes the n-th layer from the end, normalised; nil and 1 the last one.
    ///   - reading: how text becomes rows of tokens.
    public func condition(_ prompts: [String], clipSkip: Int? = nil, reading: PromptReading = .captions()) -> TextStates {
        guard let secondText else {
            return TextConditioning(tokenizer: text.tokenizer, encoder: text.encoder, clipSkip: clipSkip, rule: reading.rule(for: text.tokenizer))(prompts)
        }
        let first = text.encoder, second = secondText.encoder
        let states = conditioning(text, reading) { (first.states($0, layerFromEnd: Self.layerFromEndXL), nil) }(prompts)
        let others = conditioning(secondText, reading) { second.encodeWithPooled($0, layerFromEnd: Self.layerFromEndXL) }(prompts)
        return TextStates(context: Tensor.concatenated([states.context, others.context], axis: 2), pooled: others.pooled)
    }

    /// Rows of tokens that a prompt takes.
    public func rows(of prompt: String, reading: PromptReading) -> Int {
        PromptTokens(prompt, tokenizer: text.tokenizer, rule: reading.rule(for: text.tokenizer)).ids.count
    }

    private func conditioning(_ part: TextPart, _ reading: PromptReading, _ encode: @escaping TextConditioning.Encode) -> TextConditioning {
        TextConditioning(tokenizer: part.tokenizer, rule: reading.rule(for: part.tokenizer), encode: encode)
    }

    /// The layer of both encoders that SDXL's UNet attends to.
    static let layerFromEndXL = 2
}

/// A path as a cell takes it: in quotes where it holds blanks.
private func spelled(_ path: String) -> String { path.contains(where: \.isWhitespace) ? "\"\(path)\"" : path }

/// How a model's tokenizers read text.
public enum PromptReading: Sendable, Equatable {
    /// Captions to train on: brackets are text, and what does not fit into `rows` rows (Kohya's `max_token_length` ÷ 75) is cut off.
    case captions(rows: Int = 1)
    /// Prompts to draw: SD WebUI's weights, `BREAK`, and as many rows as the text needs.
    case prompts

    func rule(for tokenizer: CLIPTokenizer) -> PromptTokens.Rule {
        switch self {
        case .captions(let rows): .kohya(maximumTokens: rows * (tokenizer.modelMaxLength - 2))
        case .prompts: .webUI
        }
    }
}
