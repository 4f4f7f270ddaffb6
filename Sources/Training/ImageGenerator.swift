import Adapters
import Diffusion
import Imaging
import Models
import TensorCore

/// A picture could not be drawn.
public enum GenerationError: Error, Equatable, Sendable {
    case invalidSize(width: Int, height: Int, multiple: Int, nearest: String)
    case tooManyPixels(width: Int, height: Int, limit: Int)
    case promptTooLong(characters: Int, limit: Int)
    case clipSkipTooLarge(Int, layers: Int)
    /// The denoiser or the autoencoder gave values that are not finite.
    case notFinite(prompt: String)
    case deviceFailed(DeviceFailure)
    case cancelled
}

extension GenerationError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidSize(let width, let height, let multiple, let nearest):
            "\(width)×\(height) pixels: both sides must be multiples of \(multiple) for this model; the nearest is \(nearest)"
        case .tooManyPixels(let width, let height, let limit): "\(width)×\(height) pixels are more than the \(limit) that are drawn at once"
        case .promptTooLong(let characters, let limit): "the prompt has \(characters) characters; at most \(limit) are read"
        case .clipSkipTooLarge(let skip, let layers): "clip skip \(skip) reaches past the text encoder's first layer: it has \(layers)"
        case .notFinite(let prompt): "the picture of “\(prompt)” came out with values that are not finite"
        case .deviceFailed(let failure): failure.description
        case .cancelled: "drawing was stopped"
        }
    }

    public var wayOut: String {
        switch self {
        case .invalidSize(_, _, _, let nearest): "Use \(nearest)."
        case .tooManyPixels: "Draw smaller pictures."
        case .promptTooLong: "Shorten the prompt."
        case .clipSkipTooLarge(_, let layers): "Give 1 to \(layers)."
        case .notFinite: "Use an adapter of an earlier epoch, or a lower strength."
        case .deviceFailed(let failure): failure.wayOut
        case .cancelled: ""
        }
    }
}

/// A picture and what made it.
public struct GeneratedImage: Sendable, Equatable {
    public let pixels: Pixels
    /// With the seed and the sampler that were used.
    public let prompt: SamplePrompt
}

/// How far a drawing is.
public struct GenerationProgress: Sendable, Equatable {
    /// Evaluations of the denoiser done and in all, over all pictures.
    public let done: Int, total: Int
}

/// Draws pictures from prompts: text states, denoising with classifier-free guidance, decoding.
public struct ImageGenerator {
    public let model: DiffusionModel
    /// Pictures that are denoised together; guidance doubles it.
    public var batchSize = 8

    /// One picture's area at most, pixels.
    public static let maximumPixels = 2048 * 2048
    /// Characters of a prompt at most: some seven rows of the text encoder.
    public static let maximumCharacters = 2000

    public init(_ model: DiffusionModel) { self.model = model }

    /// - Parameters:
    ///   - prompts: those with the same size, steps, sampler and guidance are denoised together. A missing seed is drawn; a
    ///     missing sampler is Euler a, Kohya's default.
    ///   - clipSkip: n reads the text encoder's n-th layer from the end; SDXL has no choice.
    ///   - progress: called after each evaluation; what it throws (an interrupt) ends the drawing.
    /// - Returns: one picture for each prompt, in their order. The adapter counts as it is attached.
    /// - Throws: `GenerationError`, `DiffusionError`, `ModelFileError.changed`, or what `progress` throws.
    public func generate(
        _ prompts: [SamplePrompt], clipSkip: Int? = nil, progress: (GenerationProgress) throws -> Void = { _ in }
    ) throws -> [GeneratedImage] {
        let prompts = prompts.map(completed)
        for prompt in prompts { try check(prompt) }
        if let clipSkip, clipSkip > model.textLayers { throw GenerationError.clipSkipTooLarge(clipSkip, layers: model.textLayers) }
        let groups = try groups(prompts).map { ($0, try sampler(for: prompts[$0[0]])) }
        let total = groups.reduce(0) { $0 + $1.1.timesteps.count }
        var done = 0
        var images = [GeneratedImage?](repeating: nil, count: prompts.count)
        for (indices, sampler) in groups {
            let group = indices.map { prompts[$0] }
            let latents = try denoise(group, sampler, clipSkip: clipSkip) {
                done += 1
                try progress(GenerationProgress(done: done, total: total))
            }
            model.unet.registry.releasePages()                                      // decoding needs the room, and not the denoiser
            for (row, index) in indices.enumerated() {
                let latent = latents.sliced(axis: 0, from: row, to: row + 1)
                images[index] = GeneratedImage(pixels: try decode(latent, prompt: prompts[index]), prompt: prompts[index])
            }
        }
        return images.compactMap { $0 }
    }

    /// Denoised, scaled latents `[B, h, w, Z]` of prompts that share all settings but text and seed, and texts of equally many rows.
    private func denoise(
        _ prompts: [SamplePrompt], _ sampler: any Sampler, clipSkip: Int?, step: () throws -> Void
    ) throws -> Tensor {
        let first = prompts[0], count = prompts.count, scale = first.guidanceScale, isGuided = scale > 1
        let text = withoutGradients { textStates(prompts, isGuided: isGuided, clipSkip: clipSkip) }     // unconditional first
        for part in [model.base.text, model.base.secondText].compactMap({ $0 }) { part.encoder.registry.releasePages() }
        var noise = LatentNoise(prompts.map { NoiseGenerator(seed: $0.seed ?? 0, device: $0.rng ?? .cpu) })
        let cache = ContextCache()
        let size = SizeConditioning(target: (first.height, first.width))
        let shape = [count, first.height / model.latentScale, first.width / model.latentScale, model.autoencoder.configuration.latentChannels]
        return try sampler.sample(shape, noise: &noise, on: model.device) { x, timestep in
            let input = isGuided ? Tensor.concatenated([x, x], axis: 0) : x
            let rows = input.shape[0]
            let output = model.predict(
                input, timesteps: Array(repeating: timestep, count: rows), text: text, sizes: Array(repeating: size, count: rows), cache: cache)
            try model.requireUnchanged()
            try step()
            guard isGuided else { return output }
            let parts = output.split(axis: 0, sizes: [count, count])
            return parts[0] + (parts[1] - parts[0]) * scale                                      // arXiv:2207.12598, eq. 6
        }
    }

    /// Side of the tiles in which latents are decoded, cells: that of the whole picture, unless its intermediate values would take more
    /// than half of the memory that can be had. A picture of 1024 pixels takes 6 GB (measured), of which a pixel takes its share.
    private func decodingTile(_ shape: [Int]) -> Int {
        let whole = max(8, shape[1], shape[2])
        let widest = Double(model.autoencoder.configuration.blockOutChannels.prefix(2).max() ?? 0)
        let needed = Self.decodingFloats * 4 * widest * Double(shape[1] * shape[2] * model.latentScale * model.latentScale)
        guard let available = SystemMemory.available, needed > Double(available) / 2 else { return whole }
        return min(whole, max(8, Int((Double(available) / 2 / needed).squareRoot() * Double(whole)), 64))
    }

    /// Floats for each pixel and channel of the widest map at full size.
    private static let decodingFloats = 6.0

    /// States of the negative prompts, if they count, and of the prompts: `[2B, T, D]` or `[B, T, D]`.
    private func textStates(_ prompts: [SamplePrompt], isGuided: Bool, clipSkip: Int?) -> TextStates {
        let texts = (isGuided ? prompts.map(\.negative) : []) + prompts.map(\.text)
        let states = model.base.condition(texts, clipSkip: clipSkip, reading: .prompts)
        guard isGuided, model.base.zerosForEmptyPrompt, prompts.contains(where: \.negative.isEmpty) else { return states }
        let counts = prompts.map { $0.negative.isEmpty ? Float(0) : 1 } + prompts.map { _ in 1 }
        return TextStates(
            context: states.context * Tensor(counts, shape: [counts.count, 1, 1]), pooled: states.pooled.map { $0 * Tensor(counts, shape: [counts.count, 1]) })
    }

    private func decode(_ latents: Tensor, prompt: SamplePrompt) throws -> Pixels {
        let decoded = withoutGradients {
            let scaled = (latents * (1 / model.scalingFactor)).converted(to: latents.device.activationType)
            return model.autoencoder.decode(scaled, tileSide: decodingTile(latents.shape)).converted(to: .float32)
        }
        try model.requireUnchanged()
        return try decoded.withUnsafeFloats { values in
            do throws(DeviceFailure) { try decoded.device.checkFailure() } catch { throw GenerationError.deviceFailed(error) }
            guard values.allSatisfy(\.isFinite) else { throw GenerationError.notFinite(prompt: prompt.text) }
            return Pixels(width: decoded.shape[2], height: decoded.shape[1], floats: values)
        }
    }

    private func sampler(for prompt: SamplePrompt) throws(DiffusionError) -> any Sampler {
        try (prompt.sampler ?? .eulerAncestral).sampler(model.schedule, steps: prompt.steps)
    }

    private func completed(_ prompt: SamplePrompt) -> SamplePrompt {
        var prompt = prompt
        prompt.seed = prompt.seed ?? UInt64(UInt32.random(in: 0 ... .max))
        prompt.sampler = prompt.sampler ?? .eulerAncestral
        return prompt
    }

    private func check(_ prompt: SamplePrompt) throws(GenerationError) {
        let multiple = model.latentScale
        guard prompt.width > 0, prompt.height > 0, prompt.width % multiple == 0, prompt.height % multiple == 0 else {
            func nearest(_ side: Int) -> Int { max(multiple, (max(side, 0) + multiple / 2) / multiple * multiple) }
            throw .invalidSize(width: prompt.width, height: prompt.height, multiple: multiple, nearest: "\(nearest(prompt.width))×\(nearest(prompt.height))")
        }
        guard prompt.width * prompt.height <= Self.maximumPixels else {
            throw .tooManyPixels(width: prompt.width, height: prompt.height, limit: Self.maximumPixels)
        }
        for text in [prompt.text, prompt.negative] where text.count > Self.maximumCharacters {
            throw .promptTooLong(characters: text.count, limit: Self.maximumCharacters)
        }
    }

    /// Indices of prompts with equal settings and equally long texts, in pieces of at most `batchSize`: a prompt's picture does not
    /// depend on what is drawn beside it.
    private func groups(_ prompts: [SamplePrompt]) -> [[Int]] {
        struct Key: Hashable { let width: Int, height: Int, steps: Int, sampler: SamplerKind?, guidance: Float, rows: Int }
        var order: [Key] = [], members: [Key: [Int]] = [:]
        for (index, p) in prompts.enumerated() {
            let key = Key(width: p.width, height: p.height, steps: p.steps, sampler: p.sampler, guidance: p.guidanceScale, rows: rows(of: p))
            if members[key] == nil { order.append(key) }
            members[key, default: []].append(index)
        }
        return order.flatMap { key in
            let all = members[key] ?? []
            let size = max(1, batchSize)
            return stride(from: 0, to: all.count, by: size).map { Array(all[$0..<min($0 + size, all.count)]) }
        }
    }

    private func rows(of prompt: SamplePrompt) -> Int {
        let texts = prompt.guidanceScale > 1 ? [prompt.text, prompt.negative] : [prompt.text]
        return texts.map { model.base.rows(of: $0, reading: .prompts) }.max() ?? 1
    }
}
