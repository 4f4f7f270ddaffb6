import Checkpoints
import Foundation
import Models
import TensorCore

/// Every rendered picture as the trained autoencoder sees it, once, scaled to unit deviation.
struct LatentStore: Sendable {
    /// What unscaled latents are multiplied by: `scaling_factor` in the autoencoder's configuration.
    let scale: Float
    private let values: Tensor                                                         // [N, h, w, Z], scaled

    var count: Int { values.shape[0] }

    /// Encodes the means of all pictures and measures their deviation.
    static func encode(_ pictures: PictureStore, with model: AutoencoderKL, to path: String, log: (String) -> Void) throws {
        let block = 32
        var blocks: [Tensor] = []
        for start in stride(from: 0, to: pictures.count, by: block) {
            let indices = Array(start..<min(pictures.count, start + block))
            blocks.append(withoutGradients { model.encode(pictures.batch(indices)).mean })
            if start % 1024 == 0 { log("latents: \(start) of \(pictures.count) pictures") }
        }
        let latents = Tensor.concatenated(blocks, axis: 0)
        let deviation = standardDeviation(latents)
        try SafetensorsWriter.write(
            [("latents", latents * (1 / deviation))], metadata: ["scaling_factor": String(1 / deviation)], to: path)
        log("latents: \(pictures.count) pictures, deviation \(deviation)")
    }

    private static func standardDeviation(_ tensor: Tensor) -> Float {
        tensor.withUnsafeFloats { values in
            let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
            let squares = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
            return Float((squares / Double(values.count)).squareRoot())
        }
    }

    init(path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw ForgeError.missing(stage: "the denoiser", needs: "cached latents", command: "loralab forge train autoencoder")
        }
        let file = try SafetensorsFile(path: path, copiesTensors: true)
        guard let shape = file.entries["latents"]?.shape, let scale = file.metadata["scaling_factor"].flatMap(Float.init) else {
            throw ForgeError.unreadable(path: path, reason: "it holds no latents with their scaling factor")
        }
        values = try file.tensor("latents", shape: shape)
        self.scale = scale
    }

    /// - Returns: `[B, h, w, Z]`, scaled.
    func batch(_ indices: [Int]) -> Tensor {
        Tensor.embedding(values.reshaped([count, -1]), indices, shape: [indices.count]).reshaped([indices.count] + values.shape.dropFirst())
    }
}
