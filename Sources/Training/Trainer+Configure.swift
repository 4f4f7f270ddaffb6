import Adapters
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
    /// - Throws: as `init`; nothing has changed then.
    @discardableResult
    public func configure(_ new: TrainingConfiguration) throws -> (changes: [ConfigurationChange], resized: [ResizeReport]) {
        var new = new
        new.seed = configuration.seed
        try Self.check(new, model: model, dataset: dataset, heldOut: heldOut)
        let old = configuration, startsRun = isRunDone
        var resized: [ResizeReport] = []
        if new.network != old.network || new.usesCores != old.usesCores { throw TrainingError.networkIsFixed(present: old.network.title, asked: new.network.title) }
        if new.rank != old.rank || new.effectiveAlpha != old.effectiveAlpha {
            resized = try network.resize(to: new.rank, alpha: new.effectiveAlpha, generator: &randomness.weights)
        }
        if let wanted = new.specification.kernelSize, wanted != old.specification.kernelSize, network.kernelSize != nil {
            resized += try network.resize(to: wanted.rank, alpha: wanted.alpha, kernels: true, generator: &randomness.weights)
        }
        let wasAttached = network.isAttached
        network.detach()
        network = try network.extended(new.specification, model: model.adaptable, generator: &randomness.weights)
        if wasAttached { network.attach() }
        if new.adamW != old.adamW {
            optimizer.beta1 = new.adamW.beta1
            optimizer.beta2 = new.adamW.beta2
            optimizer.epsilon = new.adamW.epsilon
            optimizer.weightDecay = new.adamW.weightDecay
        }
        configuration = new
        if startsRun {
            position.beginRun(batchSize: new.batchSize)
            beginEpoch()
        }
        applyTargets()
        return (Self.changes(from: old, to: new), resized)
    }

    private static func changes(from old: TrainingConfiguration, to new: TrainingConfiguration) -> [ConfigurationChange] {
        zip(Mirror(reflecting: old).children, Mirror(reflecting: new).children).compactMap { before, after in
            let (a, b) = (text(before.value), text(after.value))
            return a == b ? nil : ConfigurationChange(setting: before.label ?? "", before: a, after: b)
        }
    }

    /// A setting's value without the wrapping of optionals.
    private static func text(_ value: Any) -> String {
        let mirror = Mirror(reflecting: value)
        guard mirror.displayStyle == .optional else { return "\(value)" }
        return mirror.children.first.map { "\($0.value)" } ?? "none"
    }
}
