import Adapters
import Training

/// Settings that were posted for a run and that it cannot take. They are dropped, all of one post together; nothing else has changed.
public struct RefusedSettings: Error {
    /// `min_snr_gamma = 5`, each setting of the posts.
    public let dropped: [String]
    /// Names of those that cannot be taken; all where only their being together is at fault.
    public let culprits: [String]
    /// What stands against them.
    public let reason: any Error
}

extension Session {
    // MARK: Before they are posted

    /// Judges settings as far as that goes beside a run, which alone knows its memory and its files.
    ///
    /// - Throws: what they have against them. With no run going on, a contradiction passes: another `%set` or `%train`'s own line may solve it.
    func requireSensible(_ settings: Settings) throws {
        let (present, isRunning, waiting) = outlook
        var configuration = present
        for post in waiting { try? post.apply(to: &configuration) }
        do {
            try settings.apply(to: &configuration)
            try configuration.validate()
        } catch where !isRunning && Self.maySolveItself(error) {
            return
        }
        guard isRunning else { return }
        try Self.requireChangeable(settings, in: present)
        try configuration.requireSameNetwork(as: present)
    }

    /// Whether other settings may yet make an error go away, as opposed to a value that is wrong by itself.
    private static func maySolveItself(_ error: any Error) -> Bool {
        if case TrainingError.contradiction = error { return true }
        return error is AdapterError
    }

    /// What holds for a run from its first step to its last.
    private static func requireChangeable(_ settings: Settings, in running: TrainingConfiguration) throws(LabError) {
        if settings.isGiven("network_weights") {
            throw .invalid(
                "network_weights names the adapter to start from, and this run has begun", wayOut: "Start a run from it: %train --network_weights FILE.")
        }
        if let seed = settings.integer("seed"), running.seed != UInt64(seed) {
            throw .invalid(
                "the seed holds for the adapter's whole life; it is \(running.seed ?? 0)",
                wayOut: "Start a new adapter with it: %train --fresh --seed \(seed).")
        }
    }

    // MARK: While a run goes on

    /// One post, between two steps: taken whole or not at all.
    ///
    /// - Throws: `RefusedSettings`.
    func take(_ post: Settings, _ trainer: Trainer) throws(RefusedSettings) -> [ConfigurationChange] {
        func told(_ settings: Settings) throws -> [ConfigurationChange] {
            try Self.requireChangeable(settings, in: trainer.configuration)
            return try reconfigure(trainer, settings).changes
        }
        do {
            let changes = try trainer.atomically { try told(post) }
            note(changes)
            return changes.filter { !Self.silent.contains($0.setting) }
        } catch {
            throw RefusedSettings(post, reason: error) { part in
                do { try trainer.onTrial { _ = try told(part) } } catch { return false }
                return true
            }
        }
    }

    // MARK: When a run could not start

    /// Tells posts that keep a run from starting from those that do not: the latter wait for the next try. Where the run could not start
    /// without any of them either, none of them is to blame.
    func sorted(_ posted: [Settings], under settings: Settings, fresh: Bool) -> (kept: [Settings], refused: RefusedSettings?) {
        guard !posted.isEmpty, refusal(of: settings, fresh: fresh) == nil else { return (posted, nil) }
        var kept: [Settings] = [], base = Settings(), refused: RefusedSettings?
        for post in posted {
            if let reason = refusal(of: base.merging(post).merging(settings), fresh: fresh) {
                let found = RefusedSettings(post, reason: reason) { refusal(of: base.merging($0).merging(settings), fresh: fresh) == nil }
                refused = refused.map { .init(dropped: $0.dropped + found.dropped, culprits: $0.culprits + found.culprits, reason: $0.reason) } ?? found
            } else {
                kept.append(post)
                base = base.merging(post)
            }
        }
        return (kept, refused)
    }

    /// Why a run would not start; nil when it would. Nothing changes.
    private func refusal(of wanted: Settings, fresh: Bool) -> (any Error)? {
        do {
            if !startsTrainer(wanted, fresh: fresh), let trainer {
                try trainer.onTrial { _ = try reconfigure(trainer, wanted) }
            } else {
                let (made, _, plan) = try newTrainer(wanted, fresh: fresh)
                try made.onTrial { _ = try made.configure(plan) }
            }
            return nil
        } catch {
            return error
        }
    }
}

extension RefusedSettings {
    /// - Parameter isTaken: whether a part of the settings would be.
    fileprivate init(_ post: Settings, reason: any Error, isTaken: (Settings) -> Bool) {
        let names = KohyaNames.all.map(\.name).filter(post.isGiven)
        let alone = names.count > 1 ? names.filter { !isTaken(post.restricted(to: [$0])) } : []
        self.init(dropped: post.lines(KohyaNames.all), culprits: alone.isEmpty ? names : alone, reason: reason)
    }

    /// ` because of network_dim`, where not all of the settings are at fault.
    var blame: String { culprits.count < dropped.count ? " because of \(culprits.joined(separator: " and "))" : "" }
}
