import Adapters
import Datasets
import Models
import Neural
import TensorCore

/// What a training run will take of the machine's memory at its peak, from shapes alone, in bytes.
///
/// The constants were fitted to measured steps of Stable Diffusion 1.5 (256 to 768 pixels) and XL (512 and 1024), with and without
/// recomputation (`loralab bench full-size`); there it is right within a sixth, rather above than below.
public struct MemoryEstimate: Sendable, Equatable {
    /// Weights of the parts that a step uses, as they are stored.
    public let weights: Int
    /// Values kept for the backward pass.
    public let activations: Int
    /// The adapter with its gradients and the optimizer's two moments.
    public let adapter: Int
    /// Room for one layer's weights in float32, its workspace, and the program itself.
    public let workspace: Int

    public var total: Int { weights + activations + adapter + workspace }

    /// - Parameters:
    ///   - parameters: of the adapter.
    ///   - area: the largest picture's, latent cells.
    ///   - recomputedLevels: of the denoiser, from full resolution down.
    public init(
        _ model: DiffusionModel, parameters: Int, batchSize: Int, area: Int, recomputedLevels: Int, trainsText: Bool
    ) {
        let base = model.base, encoders = [base.textEncoder.registry] + (base.secondText.map { [$0.encoder.registry] } ?? [])
        let registries = encoders + [base.unet.registry]
        let largest = base.unet.registry.parameters.map(\.parameter.value.count).max() ?? 0
        weights = registries.reduce(0) { $0 + $1.byteCount }
        let levels = (try? base.unet.configuration.channelsPerCell()) ?? []
        let perCell = levels.enumerated().reduce(0.0) { sum, level in
            let kept = level.offset < recomputedLevels ? Self.recomputing : Self.keeping
            return sum + kept.residual * level.element.residual + kept.transformer * level.element.transformer
        }
        let text = trainsText ? encoders.reduce(0) { $0 + Self.textFloats * $1.parameterCount / 1000 } : 0
        activations = batchSize * (4 * Int(perCell * Double(area)) + 4 * text)
        adapter = 4 * 4 * parameters
        workspace = 3 * 4 * largest + Self.program
    }

    /// Floats kept for each of `channelsPerCell`.
    private static let keeping = (residual: 3.3, transformer: 20.0), recomputing = (residual: 3.2, transformer: 0.1)
    /// Floats kept for 77 tokens for each thousand weights of a text encoder.
    private static let textFloats = 250
    /// The kernel without a model, and the pool of freed blocks.
    private static let program = 200 << 20
}

extension Trainer {
    /// What the run will take at its peak.
    public var memoryEstimate: MemoryEstimate { estimate(configuration, recomputedLevels: recomputedLevels) }

    /// Levels of the denoiser that the backward pass recomputes: all where that was asked for, otherwise as few as the limit on memory
    /// allows.
    public var recomputedLevels: Int {
        let all = model.unet.levelCount
        guard !configuration.recomputes else { return all }
        guard let limit = configuration.memoryLimit else { return 0 }
        return (0..<all).first { estimate(configuration, recomputedLevels: $0).total <= limit } ?? all
    }

    private func estimate(_ c: TrainingConfiguration, recomputedLevels: Int, scale: Double = 1) -> MemoryEstimate {
        let area = dataset.items.map { $0.placement.bucket.width * $0.placement.bucket.height }.max() ?? 0
        let cells = Int(Double(area / (model.latentScale * model.latentScale)) * scale)
        return MemoryEstimate(
            model, parameters: network.parameterCount, batchSize: c.batchSize, area: cells, recomputedLevels: recomputedLevels,
            trainsText: c.effectiveTextEncoderRate > 0)
    }

    /// - Throws: `TrainingError.doesNotFit` when the run would take more than the process has and the system can give.
    func requireFreeMemory() throws(TrainingError) { try requireMemory(within: SystemMemory.available.map { $0 + SystemMemory.resident }) }

    /// - Parameter limit: bytes that the whole process may take; nil leaves it unchecked.
    /// - Throws: `TrainingError.doesNotFit` with what would make the run fit.
    public func requireMemory(within limit: Int?) throws(TrainingError) {
        guard let most = limit else { return }
        let limit = min(most, configuration.memoryLimit ?? most), needed = memoryEstimate.total
        guard needed > limit else { return }
        throw .doesNotFit(needed: needed, available: limit, waysOut: waysOut(limit))
    }

    /// Changes, smallest first, each with what the run would take then; those that do not suffice together with the ones before it
    /// are told, too, so that the last one fits.
    private func waysOut(_ limit: Int) -> [String] {
        var trial = configuration, ways: [String] = []
        let all = model.unet.levelCount
        func estimate(_ c: TrainingConfiguration, scale: Double = 1) -> MemoryEstimate { self.estimate(c, recomputedLevels: all, scale: scale) }
        func gibibytes(_ n: Int) -> String { "\((Double(n) / Double(1 << 30) * 10).rounded() / 10) GiB" }
        func fits(_ what: String, _ estimate: MemoryEstimate) -> Bool {
            ways.append("\(what) (\(gibibytes(estimate.total)))")
            return estimate.total <= limit
        }
        if recomputedLevels < all, fits("--gradient_checkpointing", estimate(trial)) { return ways }
        if trial.batchSize > 1 {
            trial.batchSize = 1
            if fits("--batch 1", estimate(trial)) { return ways }
        }
        for share in [0.75, 0.5] where fits("pictures of \(Int(share * 100)) % of the side (%dataset --resolution)", estimate(trial, scale: share * share)) { return ways }
        let area = estimate(trial, scale: 0.25)
        if model.unet.registry.parameters.contains(where: { $0.parameter.value.dtype == .float32 && $0.parameter.value.rank > 1 }) {
            _ = fits("weights in half precision (%model PATH --dtype float16)", MemoryEstimate(halving: area))
        }
        return ways
    }
}

extension MemoryEstimate {
    /// With matrices in half precision.
    fileprivate init(halving other: MemoryEstimate) {
        (weights, activations, adapter, workspace) = (other.weights / 2, other.activations, other.adapter, other.workspace)
    }
}
