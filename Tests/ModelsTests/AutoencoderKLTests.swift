import Checkpoints
import Foundation
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite struct AutoencoderKLTests {
    @Test("moments, pictures and gradients agree with diffusers", arguments: [("vae_attention", 24), ("vae_plain", 16)], [false, true])
    func agrees(_ item: (name: String, size: Int), recomputes: Bool) throws {
        let (fixture, golden) = try Fixture<AutoencoderKL.Configuration>.load(item.name)
        let vae = try AutoencoderKL(configuration: fixture.config, weights: Weights(FormulaWeights()))
        vae.recomputes = recomputes
        #expect(FormulaWeights.signature(of: vae.registry) == fixture.signature)

        let pixels = FormulaWeights.signed("pixels", [1, item.size, item.size, 3]).trackingGradient()
        let moments = vae.encode(pixels)
        #expect(relativeError(moments.mean, try golden.tensor("mean")) < modelTolerance)
        #expect(relativeError(moments.logVariance, try golden.tensor("logvar")) < modelTolerance)
        let seeds = [FormulaWeights.signed("seed.mean", moments.mean.shape), FormulaWeights.signed("seed.logvar", moments.mean.shape)]
        let objective = (moments.mean * seeds[0]).sum() + (moments.logVariance * seeds[1]).sum()
        #expect(relativeError(gradients(of: objective, for: [pixels])[0], try golden.tensor("gradient.pixels")) < modelTolerance)

        let cells = item.size / fixture.config.scale
        let latents = FormulaWeights.signed("latents", [1, cells, cells, fixture.config.latentChannels]).trackingGradient()
        let decoded = vae.decode(latents)
        #expect(relativeError(decoded, try golden.tensor("decoded")) < modelTolerance)
        let back = gradients(of: decoded, seed: FormulaWeights.signed("seed.decoded", decoded.shape), for: [latents])[0]
        #expect(relativeError(back, try golden.tensor("gradient.latents")) < modelTolerance)
    }

    @Test("attention keys of releases before 2023 are read")
    func formerKeys() throws {
        let (fixture, golden) = try Fixture<AutoencoderKL.Configuration>.load("vae_attention")
        let vae = try AutoencoderKL(configuration: fixture.config, weights: Weights(FormulaWeights()))
        let former = [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")]
        let tensors = vae.registry.tensors().map { name, tensor in
            (name: former.reduce(name) { $0.replacingOccurrences(of: $1.0, with: $1.1) }, tensor: tensor)
        }
        let path = FileManager.default.temporaryDirectory.appending(path: "former-\(UUID()).safetensors").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try SafetensorsWriter.write(tensors, to: path)
        let read = try AutoencoderKL(configuration: fixture.config, weights: Weights(SafetensorsFile(path: path)))
        let moments = read.encode(FormulaWeights.signed("pixels", [1, 24, 24, 3]))
        #expect(relativeError(moments.mean, try golden.tensor("mean")) < modelTolerance)
        #expect(read.registry.parameters.map(\.key) == vae.registry.parameters.map(\.key))
    }

    @Test("the divergence of the standard normal from itself is zero, and grows with the mean")
    func divergence() {
        let zeros = Tensor.zeros([2, 1, 1, 3])
        #expect(DiagonalGaussian(mean: zeros, logVariance: zeros).divergenceFromStandardNormal().item() == 0)
        // ½ Σ μ² over three values of 2, for each picture: 6.
        #expect(DiagonalGaussian(mean: zeros + 2, logVariance: zeros).divergenceFromStandardNormal().item() == 6)
    }

    @Test("decoded in tiles, a picture has no seams and its whole size", arguments: [[1, 24, 20, 4], [2, 9, 31, 4], [1, 13, 12, 4]])
    func tiled(_ shape: [Int]) throws {
        var (configuration, _) = try { ($0.0.config, $0.1) }(Fixture<AutoencoderKL.Configuration>.load("vae_attention"))
        configuration.midBlockAddAttention = false                       // so that a place depends on its surroundings alone
        let vae = try AutoencoderKL(configuration: configuration, weights: Weights(FormulaWeights()))
        // A smooth map: what remains of differences comes from the tiles' edges and their own normalisation.
        let latents = Tensor(shape: shape) { values in
            for i in values.indices { values[i] = sin(Float(i / shape[3] % shape[2]) / 5) + cos(Float(i / shape[3] / shape[2]) / 7) }
        }
        let whole = vae.decode(latents), tiled = vae.decode(latents, tileSide: 12), size = vae.configuration.scale
        #expect(tiled.shape == [shape[0], shape[1] * size, shape[2] * size, 3])
        func largestStep(_ picture: Tensor) -> Float {
            let values = picture.array, row = picture.shape[2] * 3
            return (row..<values.count).reduce(0) { max($0, abs(values[$1] - values[$1 - row])) }
        }
        #expect(largestStep(tiled) < 2 * largestStep(whole))
        #expect(vae.decode(latents, tileSide: 64).array == whole.array)
        // A decoder that paints one colour paints it everywhere: the tiles' weights sum to one.
        let last = try #require(vae.registry.parameters.first { $0.key == "decoder.conv_out.weight" }?.parameter)
        last.value = Tensor.zeros(last.value.shape)
        #expect(relativeError(vae.decode(latents, tileSide: 12), vae.decode(latents)) < modelTolerance)
    }
}
