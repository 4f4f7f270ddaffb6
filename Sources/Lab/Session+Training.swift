import Adapters
import Datasets
import Diffusion
import Foundation
import Imaging
import Kernel
import TensorCore
import Training

/// What a call of `train` will do, after everything has been checked and before the first step.
public struct TrainingStart: Sendable {
    /// Whether the adapter is new.
    public let isFresh: Bool
    /// Settings that differ from those of the run before.
    public let changes: [ConfigurationChange]
    public let resized: [ResizeReport]
    public let configuration: TrainingConfiguration
}

extension Session {
    /// Makes or changes the trainer so that the next `train` does what the settings ask for.
    ///
    /// - Parameters:
    ///   - settings: over those posted with `%set`, over those of the run before.
    ///   - fresh: lets the present adapter go and starts a new one.
    /// - Throws: `LabError`, `TrainingError`, `AdapterError`, `DatasetError`; `RefusedSettings` for what had been posted, which is then dropped.
    ///   Nothing else has changed then.
    public func prepareTraining(_ settings: Settings, fresh: Bool = false) throws -> TrainingStart {
        let posted = takePosted()
        do {
            let wanted = posted.reduce(Settings()) { $0.merging($1) }.merging(settings)
            return try startsTrainer(wanted, fresh: fresh) ? startTrainer(wanted, fresh: fresh) : continueTrainer(wanted)
        } catch {
            let (kept, refused) = sorted(posted, under: settings, fresh: fresh)
            keepPosted(kept)
            loadedAdapter?.setTrainable(false)
            throw refused ?? error
        }
    }

    func startsTrainer(_ wanted: Settings, fresh: Bool) -> Bool { fresh || trainer == nil || wanted.isGiven("network_weights") }

    /// The settings of a first run: Kohya's GUI's, on the small embedded model those that suit it.
    static func defaults(for model: LoadedModel) -> TrainingConfiguration {
        var configuration = TrainingConfiguration()
        configuration.outputName = "lora"
        if !model.guideApplies { configuration.learningRate = 1e-3 }
        return configuration
    }

    private func startTrainer(_ wanted: Settings, fresh: Bool) throws -> TrainingStart {
        let (made, start, plan) = try newTrainer(wanted, fresh: fresh)
        let resized = try made.configure(plan).resized
        let recorder = RunRecorder(store: store, name: plan.outputName, configuration: made.configuration)
        made.keepState(in: recorder.run.map(stateFile))
        endRun()
        loadedAdapter = nil
        (trainer, self.recorder) = (made, recorder)
        board.nameRun(made.configuration.outputName)
        return TrainingStart(isFresh: start == nil, changes: [], resized: resized, configuration: made.configuration)
    }

    /// A trainer, the adapter it goes on from, and what it is still to be told: another rank than that adapter's.
    func newTrainer(_ wanted: Settings, fresh: Bool) throws -> (made: Trainer, start: AdapterNetwork?, plan: TrainingConfiguration) {
        let model = try requireModel()
        guard let dataset else { throw LabError.noDataset }
        var configuration = Self.defaults(for: model)
        let start = try startingAdapter(wanted, model: model, fresh: fresh)
        if let start { Self.adopt(start, in: &configuration) }
        var plan = configuration
        try apply(wanted, to: &plan, model: model)
        var first = plan
        if start != nil { (first.rank, first.alpha, first.convolution) = (configuration.rank, configuration.alpha, configuration.convolution) }
        let made = try Trainer(model: model.diffusion, dataset: dataset, heldOut: heldOut, network: start, configuration: first)
        plan.seed = made.configuration.seed
        return (made, start, plan)
    }

    /// What an adapter is, as the settings that would make it.
    private static func adopt(_ start: AdapterNetwork, in configuration: inout TrainingConfiguration) {
        configuration.network = start.networkKind
        if let size = start.size { (configuration.rank, configuration.alpha) = (size.rank, size.alpha) }
        if let size = start.kernelSize { configuration.convolution = .init(rank: size.rank, alpha: size.alpha) }
        if !start.adapters(ofUNet: false).isEmpty { configuration.textEncoderTargets = .all }
        if start.adapters(ofUNet: true).isEmpty { configuration.unetTargets = .none }
    }

    /// - Throws: what the settings, their prompts or their folder have against them.
    private func apply(_ wanted: Settings, to configuration: inout TrainingConfiguration, model: LoadedModel) throws {
        try wanted.apply(to: &configuration)
        try applyPrompts(wanted, to: &configuration, model: model)
        try requireWritable(folder: configuration.outputFolder)
    }

    private func continueTrainer(_ wanted: Settings) throws -> TrainingStart {
        guard let trainer else { throw LabError.noRun }
        let (changes, resized) = try trainer.atomically {
            let wasDone = trainer.isRunDone
            let told = try reconfigure(trainer, wanted)
            // A run asked to be no longer than it already is, is over: what was asked for is then the next one.
            if !wasDone, trainer.isRunDone { try trainer.configure(trainer.configuration) }
            return told
        }
        board.nameRun(trainer.configuration.outputName)
        note(changes)
        return TrainingStart(isFresh: false, changes: changes.filter { !Self.silent.contains($0.setting) }, resized: resized, configuration: trainer.configuration)
    }

    func reconfigure(_ trainer: Trainer, _ wanted: Settings) throws -> (changes: [ConfigurationChange], resized: [ResizeReport]) {
        let model = try requireModel()
        guard let dataset else { throw LabError.noDataset }
        var configuration = trainer.configuration
        try apply(wanted, to: &configuration, model: model)
        try trainer.use(dataset, heldOut: heldOut)
        return try trainer.configure(configuration)
    }

    /// Changes of a run that has begun, in its history and its record.
    func note(_ changes: [ConfigurationChange]) {
        guard let trainer, !history.steps.isEmpty else { return }
        for change in changes where !Self.silent.contains(change.setting) {
            let text = KohyaNames.words(change)
            board.record(RunHistory.Change(step: trainer.position.step, text: text))
            recorder?.note(step: trainer.position.step, kind: "change", text)
        }
    }

    /// Settings whose change moves no number of the run.
    static let silent: Set = ["samplePrompts", "stateFile", "sampleEveryEpochs", "saveEveryEpochs", "outputFolder", "outputName", "savePrecision", "epochs", "maximumSteps"]

    /// The adapter to go on from: a file that was named, or one that was loaded.
    private func startingAdapter(_ wanted: Settings, model: LoadedModel, fresh: Bool) throws -> AdapterNetwork? {
        var asked = TrainingConfiguration()
        try wanted.apply(to: &asked)
        if let path = wanted.text("network_weights") { return try adapter(from: path, as: asked.network, for: model) }
        guard !fresh, let loadedAdapter else { return nil }
        loadedAdapter.setTrainable(true)
        return loadedAdapter
    }

    private func applyPrompts(_ wanted: Settings, to configuration: inout TrainingConfiguration, model: LoadedModel) throws {
        var defaults = samplePromptDefaults(for: model)
        if let name = wanted.text("sample_sampler") { defaults.sampler = try SamplerKind(named: name) }
        if let steps = wanted.integer("sample_steps") { defaults.steps = steps }
        var prompts: [SamplePrompt] = []
        if let path = wanted.text("sample_prompts") { prompts += try SamplePrompt.parse(lines: Self.text(of: path), defaults: defaults) }
        for text in wanted.texts("sample") ?? [] { prompts.append(try SamplePrompt(line: text, defaults: defaults)) }
        guard !prompts.isEmpty else { return }
        try SamplePlan(prompts).validate()
        configuration.samplePrompts = prompts
        if configuration.sampleEveryEpochs == 0, !wanted.isGiven("sample_every_n_epochs") { configuration.sampleEveryEpochs = 1 }
    }

    /// The text of a small file.
    static func text(of path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else { throw LabError.notReadable(path: path, reason: "there is no such file, or it may not be opened") }
        guard data.count <= 1 << 20, let text = String(data: data, encoding: .utf8) else { throw LabError.notReadable(path: path, reason: "it is not a text file") }
        return text
    }

    // MARK: States

    private func stateFile(of run: Int) -> String { "\(stateFolder)/\(run)/state.safetensors" }

    /// Goes on from a saved state, with the same numbers as if the kernel had never stopped.
    ///
    /// - Parameter path: a state file; nil for the latest one.
    public func resume(from path: String?) throws -> TrainingStart {
        let model = try requireModel()
        guard let dataset else { throw LabError.noDataset }
        guard let file = path ?? latestState() else {
            throw LabError.invalid("there is no saved state in \(stateFolder)", wayOut: "A state is saved after each epoch and when a run is stopped. Start a run with %train.")
        }
        let resumed = try Trainer(resuming: file, model: model.diffusion, dataset: dataset, heldOut: heldOut) { $0.stateFile = file }
        endRun()
        loadedAdapter = nil
        trainer = resumed
        board.nameRun(resumed.configuration.outputName)
        if let run = Int(((file as NSString).deletingLastPathComponent as NSString).lastPathComponent), try store.record(run) != nil {
            recorder = RunRecorder(store: store, run: run)
            board.resume(try RunHistory(run: run, in: store))
        }
        return TrainingStart(isFresh: false, changes: [], resized: [], configuration: resumed.configuration)
    }

    private func latestState() -> String? {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: stateFolder))?.map { "\(stateFolder)/\($0)/state.safetensors" } ?? []
        func changed(_ path: String) -> Date? { (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date }
        return files.compactMap { path in changed(path).map { (path, $0) } }.max { $0.1 < $1.1 }?.0
    }

    // MARK: Running

    /// Trains until the run is done or is told to stop.
    ///
    /// Settings posted meanwhile (`%set`) are taken between two steps.
    /// - Parameters:
    ///   - shouldStop: asked between steps.
    ///   - event: told everything, after the session's own history has been brought up to date.
    ///   - changed: told of each post what it changed, or why it was refused: the run goes on as it was then.
    /// - Returns: whether the run is done.
    public func train(
        shouldStop: @escaping () -> Bool, changed: (Result<[ConfigurationChange], RefusedSettings>) -> Void = { _ in },
        _ event: (TrainingEvent) -> Void
    ) throws -> Bool {
        guard let trainer else { throw LabError.noRun }
        if let state = trainer.configuration.stateFile {
            try FileManager.default.createDirectory(atPath: (state as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        }
        let isToldToStop = { shouldStop() || self.isClosing }
        publishRunning(trainer.configuration)
        defer { publishRunning(nil) }
        do {
            var isAfterPause = false
            while true {
                let isDone = try trainer.train(afterPause: isAfterPause, shouldStop: { isToldToStop() || self.hasPosted }) { said in
                    self.record(said)
                    if case .stopped = said, !isToldToStop() { return }    // a pause to take settings is nobody's news
                    event(said)
                }
                guard !isDone, !isToldToStop(), hasPosted else { return isDone }
                for post in takePosted() { changed(Result { () throws(RefusedSettings) in try take(post, trainer) }) }
                publishRunning(trainer.configuration)
                isAfterPause = true
            }
        } catch {
            recorder?.fail(error, step: trainer.position.step)
            throw error
        }
    }

    private func record(_ event: TrainingEvent) {
        recorder?.record(event)
        board.record(event)
        switch event {
        case .stopped(let summary), .finished(let summary):
            trainSeconds += summary.seconds
            publishStatus()
        case .started, .epochEnded: publishStatus()
        case .preparing, .stepped, .sampled, .saved: break
        }
    }
}
