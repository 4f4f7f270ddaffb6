import Kernel
import Training

/// `%train`: trains a LoRA, or goes on with what changed.
struct TrainMagic: Magic {
    let session: Session
    var specification: MagicSpecification { Self.specification }

    static let specification = MagicSpecification(
        name: "train", summary: "Trains a LoRA on the dataset, or goes on with the one there is.",
        details: """
            The first call makes an adapter; each further call goes on from there, with the settings of the call before and what is given now. The interrupt button stops after the step in hand; the next `%train` goes on. \
            Settings have Kohya's names and short ones. `%%train` takes Kohya's TOML below its first line.
            """,
        options: KohyaNames.all + [
            .init("fresh", aliases: ["new"], .flag, "Lets the present adapter go and starts a new one."),
            .init("resume", .flag, "Goes on from the last saved state, after a restart of the kernel for instance."),
            .init("state", .path(.file(["safetensors"])), "The state file for --resume, instead of the latest."),
        ],
        body: .toml,
        examples: ["%train --epochs 3 --rank 8 --lr 1e-4", "%train --lr 5e-5", "%train --epochs 2 --sample a red cube --sample \"a blue torus --d 7\"", "%%train\nlearning_rate = 1e-4\nmax_train_epochs = 5"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("train", cell: cell.executionCount) {
                let settings = try Settings(train: call)
                for (key, reason) in settings.ignored { cell.say("\(key) has no effect here: \(reason).") }
                let start = try call.isSet("resume") || call.isGiven("state")
                    ? session.resume(from: call.string("state")) : session.prepareTraining(settings, fresh: call.isSet("fresh"))
                announce(start, in: cell)
                for remark in settings.remarks(on: start.configuration) { cell.say(remark) }
                try train(in: cell)
            }
        }
    }

    private func train(in cell: CellContext) throws {
        let view = TrainingView(session: session, cell: cell)
        var failure: (any Error)?
        defer { if let unwritten = session.recorder?.failure { cell.writeError("The run is not in the history of runs: \(unwritten)\n") } }
        let isDone = try session.train(shouldStop: { cell.isInterrupted || failure != nil }, changed: { tell($0, in: cell) }) { event in
            do { try view.show(event) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
        if !isDone { try cell.checkInterrupted() }
    }

    private func tell(_ result: Result<[Training.ConfigurationChange], RefusedSettings>, in cell: CellContext) {
        switch result {
        case .success(let changes): if !changes.isEmpty { cell.say("Changed: \(Self.words(changes)).") }
        case .failure(let refused): cell.writeError(Self.words(refused) + "\n")
        }
    }

    /// What was dropped, why, and what could be done.
    private static func words(_ refused: RefusedSettings) -> String {
        let reason = explanation(of: refused.reason) as? MagicError
        let what = "Not taken\(refused.blame): \(refused.dropped.joined(separator: ", ")). Reason: \(reason?.message ?? "\(refused.reason)")."
        return [what, reason?.hint, "The run goes on as it was."].compactMap(\.self).joined(separator: " ")
    }

    private static func words(_ changes: [ConfigurationChange]) -> String {
        changes.map(KohyaNames.words).joined(separator: ", ")
    }

    /// What is about to happen: a new adapter, or what changed since the run before.
    private func announce(_ start: TrainingStart, in cell: CellContext) {
        let parameters = session.network.map { "\(Words.grouped($0.parameterCount)) parameters in \(Words.count($0.adapters.count, "layer"))" } ?? ""
        if start.isFresh {
            cell.say("A new \(start.configuration.network.title) of rank \(start.configuration.rank): \(parameters), seed \(start.configuration.seed.map(String.init) ?? "?").")
        } else if !start.changes.isEmpty {
            cell.say("Going on with \(Self.words(start.changes)).")
        } else {
            cell.say("Going on with the \(start.configuration.network.title) of rank \(start.configuration.rank): \(parameters).")
        }
        if let trainer = session.trainer, trainer.configuration.memoryLimit != nil {
            let levels = trainer.recomputedLevels, all = trainer.model.unet.levelCount
            cell.say("Memory: about \(Words.bytes(trainer.memoryEstimate.total)) at the peak; "
                + (levels == 0 ? "nothing is computed twice." : "\(levels) of \(Words.count(all, "level")) of the UNet are computed again in the backward pass."))
        }
        let shrunk = start.resized.filter { $0.newRank < $0.oldRank }
        if let worst = shrunk.map(\.frobeniusRetained).min() {
            cell.say("The smaller rank keeps \(Words.fixed(Double(worst) * 100, 1)) % or more of what each layer had learned (Frobenius norm).")
        }
    }
}
