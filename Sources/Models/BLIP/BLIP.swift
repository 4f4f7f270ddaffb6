import Checkpoints
import Neural
import TensorCore

/// A captioner: a vision transformer and a text decoder that attends to it (Li et al. 2022, arXiv:2201.12086): transformers'
/// `BlipForConditionalGeneration`.
///
/// `recomputes` changes only between steps, by the one session that owns the model; hence `@unchecked Sendable`.
public final class BLIP: @unchecked Sendable {
    public let configuration: Configuration
    public let registry: Registry
    /// Whether the backward pass recomputes each layer instead of keeping its intermediate values.
    public var recomputes = false

    let vision: BLIPVisionEncoder
    let decoder: BLIPTextDecoder

    /// transformers' initial values for matrices, kernels and tables.
    static let initial = InitialValue.normal(standardDeviation: 0.02)

    public init(configuration: Configuration, weights w: Weights) throws {
        try configuration.validate()
        self.configuration = configuration
        registry = w.registry
        vision = try BLIPVisionEncoder(w["vision_model"], configuration.vision)
        decoder = try BLIPTextDecoder(w["text_decoder"], configuration.text)
        try w.requireEveryKeyUsed { $0.hasSuffix("position_ids") }       // indices 0..<512, stored by older releases
    }

    /// - Parameter pixels: `[B, H, W, 3]`, normalised as the preprocessor says, H and W the configuration's image size.
    /// - Returns: picture states `[B, N, D]`.
    public func encode(_ pixels: Tensor) -> Tensor { vision(pixels, recomputes: recomputes) }

    /// Logits for the token after each given one (teacher forcing).
    ///
    /// - Parameters:
    ///   - ids: rows of one length T that start with `bos_token_id`.
    ///   - picture: picture states `[B, N, D]`.
    /// - Returns: `[B, T, V]`.
    public func logits(_ ids: [[Int]], picture: Tensor) -> Tensor { decoder(ids, picture: picture, recomputes: recomputes) }
}
