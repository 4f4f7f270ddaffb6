import Adapters
import Datasets
import Diffusion
import Neural
import TensorCore

/// A setting before and after.
public struct ConfigurationChange: Sendable, Equatable {
    public let setting: String
    public let before: String, after: String
}

extension Trainer {
    /// Changes what follows, with everything loaded staying loaded. After a finished run this begins the next one; within a
    /// run, the present one goes on under the new settings.
    ///
    /// The rank is changed by singular value decomposition; parts that did not learn before get fresh modules; a new batch size
    /// holds from the next epoch on. The seed stays.
    /// - Returns: the settings that changed, and what the change of rank kept.
    /// - Throws: as `init`, and `TrainingError.doesNotFit` when the run would then take more memory than it may; nothing has changed then.
    @discardableResult
    public func configure(_ new: TrainingConfiguration) throws -> (changes: [ConfigurationChange], resized: [ResizeReport]) {
        let old = configuration
        let resized = try atomically { try change(to: new) }
        return (Self.changes(from: old, to: configuration), resized)
    }

    private func change(to asked: TrainingConfiguration) throws -> [ResizeReport] {
        var new = asked
        new.seed = configuration.seed
        try Self.check(new, model: model, dataset: dataset, heldOut: heldOut)
        let old = configuration, startsRun = isRunDone
        try new.requireSameNetwork(as: old)
        var resized: [ResizeReport] = []
        if new.rank != old.rank || new.effectiveAlpha != old.effectiveAlpha {
            resized = try network.resize(to: new.rank, alpha: new.effectiveAlpha, generator: &randomness.weights)
        }
        if let wanted = new.specification.kernelSize, wanted != old.specification.kernelSize, network.kernelSize != nil {
            resized += try network.resize(to: wanted.rank, alpha: wanted.alpha, kernels: true, generator: &randomness.weights)
        }
        let wasAttached = network.isAttached
        network.detach()
        defer { if wasAttached { network.attach() } }
        network = try network.extended(new.specification, model: model.adaptable, generator: &randomness.weights)
        if new.adamW != old.adamW { optimizer.take(new.adamW) }
        configuration = new
        if startsRun {
            position.beginRun(batchSize: new.batchSize)
            beginEpoch()
        }
        applyTargets()
        try requireFreeMemory()
        return resized
    }

    // MARK: All or nothing

    /// Runs `body`, which may change the trainer; when it throws, the trainer is as it was before, to the last bit.
    public func atomically<R>(_ body: () throws -> R) throws -> R {
        let before = Standing(self)
        do {
            return try body()
        } catch {
            restore(before)
            throw error
        }
    }

    /// Runs `body` to learn whether it throws: the trainer is as it was before, either way.
    public func onTrial(_ body: () throws -> Void) throws {
        let before = Standing(self)
        defer { restore(before) }
        try body()
    }

    /// Everything that a change of settings or pictures touches. Cheap: tensors share their memory until somebody writes.
    private struct Standing {
        let dataset: Dataset, heldOut: Dataset?, configuration: TrainingConfiguration
        let network: AdapterNetwork, adapters: AdapterSnapshot, isAttached: Bool
        let optimizer: AdamW, randomness: TrainingRandomness, position: TrainingPosition, batches: [[Int]], window: LossWindow
        let latents: LatentCache, heldOutLatents: LatentCache

        init(_ t: Trainer) {
            (dataset, heldOut, configuration) = (t.dataset, t.heldOut, t.configuration)
            (network, adapters, isAttached) = (t.network, t.network.snapshot(), t.network.isAttached)
            (optimizer, randomness, position, batches, window) = (t.optimizer, t.randomness, t.position, t.batches, t.window)
            (latents, heldOutLatents) = (t.latents, t.heldOutLatents)
        }
    }

    private func restore(_ s: Standing) {
        network.detach()
        network = s.network
        network.restore(s.adapters)
        if s.isAttached { network.attach() }
        (dataset, heldOut, configuration) = (s.dataset, s.heldOut, s.configuration)
        (optimizer, randomness, position, batches, window) = (s.optimizer, s.randomness, s.position, s.batches, s.window)
        (latents, heldOutLatents) = (s.latents, s.heldOutLatents)
        applyTargets()
    }

    // MARK: Changes in words

    private static func changes(from old: TrainingConfiguration, to new: TrainingConfiguration) -> [ConfigurationChange] {
        zip(old.settings, new.settings).compactMap { before, after in
            before.text == after.text ? nil : ConfigurationChange(setting: after.name, before: before.text, after: after.text)
        }
    }
}

extension TrainingConfiguration {
    /// Every setting by its property's name, its value in words; those of optimizer, objective and captions one by one.
    package var settings: [(name: String, text: String)] { Self.settings(of: self) }

    private static func settings(of value: Any) -> [(name: String, text: String)] {
        Mirror(reflecting: value).children.flatMap { child in
            switch child.value {
            case is AdamWSettings, is Objective, is CaptionOptions: settings(of: child.value)
            default: [(child.label ?? "", text(child.value))]
            }
        }
    }

    /// A setting's value without the wrapping of optionals.
    private static func text(_ value: Any) -> String {
        let mirror = Mirror(reflecting: value)
        guard mirror.displayStyle == .optional else { return "\(value)" }
        return mirror.children.first.map { text($0.value) } ?? "none"
    }
}

extension TrainingConfiguration {
    /// - Throws: `TrainingError.networkIsFixed` when an adapter of `old` would have to become one of another formula.
    public func requireSameNetwork(as old: TrainingConfiguration) throws(TrainingError) {
        guard network == old.network, usesCores == old.usesCores else { throw .networkIsFixed(present: old.network.title, asked: network.title) }
    }
}
