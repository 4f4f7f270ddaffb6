import Checkpoints
import Foundation
import Neural
import Synchronization
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
    private let states = Mutex<[StateKey: TextStates]>([:])

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

    // MARK: Text

    /// Text states of prompts, each cut at the encoder's length.
    ///
    /// States are kept while the encoder is frozen and bare; with adapters or trainable weights they are made anew.
    ///
    /// - Parameter clipSkip: n takes the n-th layer from the end; nil and 1 the last one. SDXL has its own rule and ignores it.
    /// - Returns: `[B, T, D]`.
    public func encode(prompts: [String], clipSkip: Int? = nil) -> Tensor {
        condition(prompts: prompts, clipSkip: clipSkip).context
    }

    /// Text states, and for SDXL the pooled vector.
    ///
    /// SDXL (reference §2.5): the last but one layer of both encoders, not normalised, side by side; pooled by the second. It was
    /// trained so and has no other layer to choose, so `clipSkip` does not count.
    ///
    /// - Returns: `[B, T, D]`, and `[B, P]` for SDXL.
    public func condition(prompts: [String], clipSkip: Int? = nil) -> (context: Tensor, pooled: Tensor?) {
        let all = prompts.map { states(of: $0, clipSkip: secondText == nil ? clipSkip ?? 1 : Self.layerFromEndXL) }
        let pooled = all.compactMap(\.pooled)
        return (Tensor.concatenated(all.map(\.context), axis: 0), pooled.isEmpty ? nil : Tensor.concatenated(pooled, axis: 0))
    }

    /// The layer of both encoders that SDXL's UNet attends to.
    static let layerFromEndXL = 2

    private struct StateKey: Hashable {
        let prompt: String
        let layerFromEnd: Int
    }

    private struct TextStates { let context: Tensor, pooled: Tensor? }

    private func states(of prompt: String, clipSkip: Int) -> TextStates {
        let key = StateKey(prompt: prompt, layerFromEnd: clipSkip)
        guard textEncoder.isFrozenAndBare, secondText?.encoder.isFrozenAndBare ?? true else { return makeStates(prompt, layerFromEnd: clipSkip) }
        if let kept = states.withLock({ $0[key] }) { return kept }
        let made = makeStates(prompt, layerFromEnd: clipSkip)
        states.withLock { states in
            if states.count >= Self.keptStates { states.removeAll() }
            states[key] = made
        }
        return made
    }

    private func makeStates(_ prompt: String, layerFromEnd: Int) -> TextStates {
        guard let secondText else { return TextStates(context: text.encoder.encode([text.tokenizer.encode(prompt)], clipSkip: layerFromEnd), pooled: nil) }
        let first = text.encoder.states([text.tokenizer.encode(prompt)], layerFromEnd: layerFromEnd)
        let second = secondText.encoder.encodeWithPooled([secondText.tokenizer.encode(prompt)], layerFromEnd: layerFromEnd)
        return TextStates(context: Tensor.concatenated([first, second.states], axis: 2), pooled: second.pooled)
    }

    /// Prompts whose states are kept: 256 of SD 1's are 58 MiB.
    private static let keptStates = 256
}

extension CLIPTextEncoder {
    /// Whether a prompt's states can only be what they were: no adapters, nothing that trains.
    var isFrozenAndBare: Bool {
        registry.adaptable.allSatisfy { $0.layer.adapters.isEmpty } && registry.parameters.allSatisfy { !$0.parameter.isTrainable }
    }
}
