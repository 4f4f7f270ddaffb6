import Imaging
import TensorCore

/// Turns pictures into latents; the autoencoder of a base model fits it.
public protocol LatentEncoder {
    /// - Parameter pixels: `[1, H, W, 3]` in −1…1, in the host's memory.
    /// - Returns: mean and log variance of the unscaled latents, each `[1, h, w, Z]`.
    func moments(_ pixels: Tensor) -> (mean: Tensor, logVariance: Tensor)
}

/// Latents could not be made.
public enum LatentError: Error, Equatable, Sendable, CustomStringConvertible {
    case picture(ImageError)
    /// The autoencoder gave values that are not finite.
    case notFinite(path: String)

    public var description: String {
        switch self {
        case .picture(let error): error.description
        case .notFinite(let path): "the autoencoder gives values that are not finite for \(path)"
        }
    }

    public var wayOut: String {
        switch self {
        case .picture(let error): error.wayOut
        case .notFinite: "Load the autoencoder in float32, or remove the picture."
        }
    }
}

/// One latent for each picture, kept in memory: unscaled, a sample of the posterior drawn once (as Kohya's scripts cache it),
/// so a run with the cache sees the same sample every time.
public struct LatentCache: Sendable {
    /// By index into the data set's items: `[1, h, w, Z]`, in the host's memory.
    private var latents: [Int: Tensor] = [:]

    public init() {}

    public var count: Int { latents.count }
    /// Bytes held.
    public var byteCount: Int { latents.values.reduce(0) { $0 + $1.count * $1.dtype.byteSize } }

    public subscript(_ item: Int) -> Tensor? { latents[item] }

    /// Encodes every item that is not there yet.
    /// - Parameters:
    ///   - seed: of the posterior's samples; each picture has noise of its own, whatever the order. nil takes the mean.
    ///   - progress: pictures done and in all; what it throws ends the work, and what is done stays.
    public mutating func fill(_ dataset: Dataset, encoder: some LatentEncoder, seed: UInt64?, progress: (Int, Int) throws -> Void) throws {
        for index in dataset.items.indices {
            if latents[index] == nil { latents[index] = try Self.encode(dataset, index, encoder: encoder, seed: seed) }
            try progress(index + 1, dataset.items.count)
        }
    }

    /// The latent of one item, `[1, h, w, Z]`, in the host's memory.
    public static func encode(_ dataset: Dataset, _ index: Int, encoder: some LatentEncoder, seed: UInt64?) throws(LatentError) -> Tensor {
        let item = dataset.items[index]
        let pixels: Pixels
        do throws(ImageError) { pixels = try dataset.pixels(of: item) } catch { throw .picture(error) }
        let latent = withoutGradients { () -> Tensor in
            let (mean, logVariance) = encoder.moments(Tensor(pixels.floats(), shape: [1, pixels.height, pixels.width, 3]))
            guard let seed else { return mean }
            var generator = TorchGenerator(seed: seed &+ UInt64(index) &* 0x9E37_79B9)
            let noise = Tensor(generator.normal(mean.count), shape: mean.shape).moved(to: mean.device)
            return mean + (logVariance * 0.5).exp() * noise
        }
        guard latent.isFinite else { throw .notFinite(path: item.path) }
        return latent.moved(to: HostDevice.shared)
    }
}
