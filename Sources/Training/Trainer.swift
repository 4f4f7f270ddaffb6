import Adapters
import Datasets
import Diffusion
import Models
import Neural
import TensorCore

/// Trains a LoRA on a resident model, one run after another.
///
/// A run is what one configuration asks for (`epochs`, or `maximumSteps`). `train` works until the run is done or is told to
/// stop, always between two updates; called again it goes on where it stopped, with the same numbers as if it had not. After a
/// run, `configure` starts the next; everything stays loaded. One thread at a time uses a trainer.
public final class Trainer {
    public let model: DiffusionModel
    public internal(set) var dataset: Dataset
    /// Held-out pictures: never trained on.
    public internal(set) var heldOut: Dataset?
    public internal(set) var configuration: TrainingConfiguration
    /// The adapter as it stands; attached to the model while the trainer lives, until it is detached by its owner.
    public internal(set) var network: AdapterNetwork
    /// Where the trainer stands.
    public internal(set) var position: TrainingPosition
    /// Adapters kept at the ends of epochs, oldest first.
    public internal(set) var keptEpochs: [(epoch: Int, snapshot: AdapterSnapshot)] = []

    var optimizer: AdamW
    var randomness: TrainingRandomness
    var window = LossWindow()
    var latents = LatentCache()
    var heldOutLatents = LatentCache()
    var contexts = TextContexts()
    /// Batches of the epoch that `position` is in.
    var batches: [[Int]] = []
    private var firstLoss: Float?, lastLoss: Float?
    private(set) var lastHeldOutLoss: Float?

    /// - Parameters:
    ///   - network: an adapter to go on from; nil makes a fresh one.
    /// - Throws: `TrainingError`, `AdapterError` or `DatasetError`; the model is untouched then.
    public init(
        model: DiffusionModel, dataset: Dataset, heldOut: Dataset? = nil, network: AdapterNetwork? = nil, configuration: TrainingConfiguration
    ) throws {
        var configuration = configuration
        configuration.seed = configuration.seed ?? UInt64(UInt32.random(in: 0 ... .max))
        try Self.check(configuration, model: model, dataset: dataset, heldOut: heldOut)
        self.model = model
        self.dataset = dataset
        self.heldOut = heldOut
        self.configuration = configuration
        randomness = TrainingRandomness(seed: configuration.seed ?? 0)
        self.network = try network ?? AdapterNetwork(configuration.specification, model: model.adaptable, generator: &randomness.weights)
        optimizer = AdamW(configuration.adamW)
        position = TrainingPosition(batchSize: configuration.batchSize)
        beginEpoch()
        applyTargets()
    }

    /// Everything that can be judged before anything is changed.
    static func check(_ configuration: TrainingConfiguration, model: DiffusionModel, dataset: Dataset, heldOut: Dataset?) throws {
        try configuration.validate()
        try dataset.requireCaptions()
        for item in dataset.items + (heldOut?.items ?? []) {
            let size = item.placement.bucket
            guard size.width % model.latentScale == 0, size.height % model.latentScale == 0 else {
                throw TrainingError.bucketDoesNotFit(size, multiple: model.latentScale)
            }
        }
        if let clipSkip = configuration.clipSkip, clipSkip > model.textLayers {
            throw TrainingError.invalidSetting(
                setting: "clipSkip", value: "\(clipSkip)", allowed: "1 to \(model.textLayers), the layers of this text encoder", nearest: "\(model.textLayers)")
        }
        let last = model.schedule.trainTimesteps
        if let high = configuration.maximumTimestep, high > last {
            throw TrainingError.invalidSetting(setting: "maximumTimestep", value: "\(high)", allowed: "1 to \(last)", nearest: "\(last)")
        }
    }

    /// Goes on with other pictures or captions: the adapter, the optimizer and the settings stay, and a run that was not done
    /// goes on with a fresh epoch.
    /// - Throws: as `init`; nothing has changed then.
    public func use(_ dataset: Dataset, heldOut: Dataset?) throws {
        try Self.check(configuration, model: model, dataset: dataset, heldOut: heldOut)
        if dataset.fingerprint != self.dataset.fingerprint {
            latents = LatentCache()
            window = LossWindow()
            if position.batch > 0 { position.endEpoch(nextBatchSize: configuration.batchSize) }
        }
        if heldOut?.fingerprint != self.heldOut?.fingerprint { heldOutLatents = LatentCache() }
        self.dataset = dataset
        self.heldOut = heldOut
        beginEpoch()
    }

    // MARK: Running

    /// Trains until the run is done.
    /// - Parameters:
    ///   - afterPause: goes on from a stop of a moment ago: memory is not asked for again, which others may have taken since.
    ///   - shouldStop: asked between updates; true stops there. Nothing is lost.
    ///   - event: told everything, on this thread.
    /// - Returns: whether the run is done.
    /// - Throws: `TrainingError.notFinite`; `ModelFileError.changed` when the model's files are not those that were loaded, its state having
    ///   been saved; what reading pictures, saving and drawing throw. The adapter is then as it was after the last whole update.
    @discardableResult
    public func train(afterPause: Bool = false, shouldStop: () -> Bool = { false }, _ event: (TrainingEvent) -> Void) throws -> Bool {
        do {
            return try trainToEnd(afterPause: afterPause, shouldStop: shouldStop, event)
        } catch {
            do throws(ModelFileError) { try model.requireUnchanged() } catch let change {
                try? saveStateIfAsked(event)    // to go on from when the model has been loaded again; the change is the news
                throw change                    // also where it led to other errors
            }
            throw error
        }
    }

    private func trainToEnd(afterPause: Bool, shouldStop: () -> Bool, _ event: (TrainingEvent) -> Void) throws -> Bool {
        try model.requireUnchanged()
        let clock = ContinuousClock(), start = clock.now
        network.attach()
        model.device.clearFailure()
        if !afterPause { try requireFreeMemory() }
        model.unet.recomputedLevels = recomputedLevels
        guard try prepare(shouldStop: shouldStop, event) else { return try stop(since: start, clock, event) }
        event(.started(plan()))
        if configuration.samplesAtFirst, position.step == 0 { try drawSamples(shouldStop: shouldStop, event) }
        var epochStart = clock.now
        while !isRunDone {
            if shouldStop() { return try stop(since: start, clock, event) }
            let report = try update()
            firstLoss = firstLoss ?? report.loss
            lastLoss = report.loss
            event(.stepped(report))
            if position.batch == batches.count {
                try endEpoch(seconds: (clock.now - epochStart).inSeconds, shouldStop: shouldStop, event)
                epochStart = clock.now
            }
        }
        try finish(event)
        event(.finished(summary(seconds: (clock.now - start).inSeconds)))
        return true
    }

    private func stop(since start: ContinuousClock.Instant, _ clock: ContinuousClock, _ event: (TrainingEvent) -> Void) throws -> Bool {
        try saveStateIfAsked(event)
        event(.stopped(summary(seconds: (clock.now - start).inSeconds)))
        return false
    }

    /// Encodes pictures that are not encoded yet and measures the held-out loss once before the first update.
    /// - Returns: false when it was told to stop; what was done stays.
    private func prepare(shouldStop: () -> Bool, _ event: (TrainingEvent) -> Void) throws -> Bool {
        struct Stopped: Error {}
        func report(_ stage: Preparation.Stage, _ done: Int, _ total: Int) throws {
            event(.preparing(Preparation(stage: stage, done: done, total: total)))
            if shouldStop() { throw Stopped() }
        }
        do {
            if configuration.cachesLatents, latents.count < dataset.items.count {
                try latents.fill(dataset, encoder: model, seed: configuration.seed, progress: { try report(.encodingPictures, $0, $1) })
            }
            if let heldOut, heldOutLatents.count < heldOut.items.count {
                try heldOutLatents.fill(heldOut, encoder: model, seed: nil, progress: { try report(.encodingHeldOutPictures, $0, $1) })
            }
            if lastHeldOutLoss == nil, configuration.evaluateEveryEpochs > 0 { lastHeldOutLoss = try measureHeldOutLoss { try report(.measuringHeldOutLoss, $0, $1) } }
        } catch is Stopped {
            return false
        }
        return true
    }

    // MARK: The step

    /// One update of the adapter: Ho et al. 2020 (arXiv:2006.11239), algorithm 1, over `accumulation` batches.
    private func update() throws -> StepReport {
        let clock = ContinuousClock(), start = clock.now, drawn = randomness
        network.drawBlocks(&randomness.noise)
        defer { network.applyAllBlocks() }
        let parts = batches[position.batch..<min(position.batch + configuration.accumulation, batches.count)]
        var trained = trainedParameters, sum = [Tensor?](repeating: nil, count: trained.count), losses: [Tensor] = []
        for batch in parts {
            let (loss, found) = try gradientsOfLoss(batch, for: trained.map(\.parameter))
            losses.append(loss)
            sum = zip(sum, found).map { sum, part in sum.map { sum in part.map { sum + $0 } ?? sum } ?? part }
        }
        trained = zip(trained, sum).compactMap { $1 == nil ? nil : $0 }           // layers after the one that is read stay as they are
        let means = sum.compactMap { $0 }.map { parts.count > 1 ? $0 * (1 / Float(parts.count)) : $0 }
        sum = []                                                                  // so that clipping works in place
        let (gradients, size) = clipped(consume means, maximumNorm: configuration.maximumGradientNorm)
        try requireModelUnchanged(elseRestoring: drawn)
        let (loss, norm) = try read(losses, norm: size)
        let total = totalSteps
        let multiplier = configuration.learningRateSchedule(totalSteps: total).multiplier(at: position.stepInRun)
        let rates = (unet: configuration.effectiveUNetRate * multiplier, text: configuration.effectiveTextEncoderRate * multiplier)
        optimizer.step(
            trained.map(\.parameter), gradients: gradients, learningRates: trained.map { Float($0.part == .unet ? rates.unet : rates.text) })
        return advance(
            over: parts.count, loss: loss, norm: norm, rates: rates, total: total, pictures: parts.reduce(0) { $0 + $1.count },
            seconds: (clock.now - start).inSeconds)
    }

    /// The mean loss and the norm, the one read of a step that waits for the device.
    private func read(_ losses: [Tensor], norm: Tensor) throws -> (loss: Float, norm: Float) {
        let numbers = Tensor.items(of: losses + [norm]), norm = numbers[losses.count]
        do throws(DeviceFailure) { try model.device.checkFailure() } catch { throw TrainingError.deviceFailed(error, step: position.step + 1) }
        let loss = numbers.dropLast().reduce(Float(0)) { $0 + $1 / Float(losses.count) }
        guard loss.isFinite else { throw TrainingError.notFinite(what: "the loss", step: position.step + 1) }
        guard norm.isFinite else { throw TrainingError.notFinite(what: "the gradient", step: position.step + 1) }
        return (loss, norm)
    }

    /// A step that was computed with wrong weights has not been: it is not applied, and its random numbers are drawn again.
    private func requireModelUnchanged(elseRestoring drawn: TrainingRandomness) throws(ModelFileError) {
        do throws(ModelFileError) { try model.requireUnchanged() } catch {
            randomness = drawn
            throw error
        }
    }

    /// Loss `[]` of one batch and its gradients; nil for parameters that it does not depend on.
    private func gradientsOfLoss(_ batch: [Int], for parameters: [Parameter]) throws -> (Tensor, [Tensor?]) {
        let clean = try latents(of: batch)                                                       // x₀ [B, h, w, Z]
        var noise = latentNoise(clean.shape)                                                     // ε
        noise = offset(noise)
        let timesteps = randomness.noise.integers(batch.count, in: timestepRange)                // t
        let noisy = model.schedule.addNoise(clean, noise: perturbed(noise), timesteps: timesteps) // x_t
        let prediction = model.predict(
            noisy, timesteps: timesteps.map(Float.init), text: text(of: batch), sizes: batch.map { SizeConditioning(dataset.items[$0]) })
        let target = Objective.target(model.schedule, latents: clean, noise: noise, timesteps: timesteps)
        let loss = configuration.objective(
            prediction, target: target, timesteps: timesteps, schedule: model.schedule, sampleWeights: sampleWeights(batch))
        let found = reachedGradients(of: loss, for: parameters.map(\.tensor))
        return (loss.detached(), found)
    }

    /// Scaled latents `[B, h, w, Z]`.
    private func latents(of batch: [Int]) throws -> Tensor {
        let rows = try batch.map { index -> Tensor in
            if let cached = latents[index] { return cached }
            return try LatentCache.encode(dataset, index, encoder: model, seed: UInt64(randomness.noise.nextWord()))
        }
        return withoutGradients { (rows.count == 1 ? rows[0] : Tensor.concatenated(rows, axis: 0)).moved(to: model.device) * model.scalingFactor }
    }

    private func latentNoise(_ shape: [Int]) -> Tensor { Tensor.latentNoise(shape, generator: &randomness.noise).moved(to: model.device) }

    /// Noise with one normal for each channel added (`noise_offset`), so that brightness can be learnt.
    private func offset(_ noise: Tensor) -> Tensor {
        guard configuration.noiseOffset > 0 else { return noise }
        let strength = configuration.noiseOffsetRandomStrength ? randomness.noise.uniform() * configuration.noiseOffset : configuration.noiseOffset
        let (batch, channels) = (noise.shape[0], noise.shape[3])
        return noise + latentNoise([batch, 1, 1, channels]) * strength
    }

    /// What x_t is built from; the target stays the noise itself.
    private func perturbed(_ noise: Tensor) -> Tensor {
        guard configuration.inputPerturbation > 0 else { return noise }
        return noise + latentNoise(noise.shape) * configuration.inputPerturbation
    }

    private var timestepRange: Range<Int> {
        (configuration.minimumTimestep ?? 0)..<(configuration.maximumTimestep ?? model.schedule.trainTimesteps)
    }

    /// Text states of the captions as this use of the pictures sees them; with gradients when the text encoder learns.
    private func text(of batch: [Int]) -> TextStates {
        let captions = batch.map { configuration.captions.apply(dataset.items[$0].caption, epoch: position.epoch + 1, generator: &randomness.captions) }
        return text(captions)
    }

    /// Text states: kept ones while no adapter sits on a text encoder.
    func text(_ captions: [String]) -> TextStates {
        let rows = configuration.tokenRows
        return network.adapters(ofUNet: false).isEmpty
            ? contexts(captions, model: model, clipSkip: configuration.clipSkip, rows: rows)
            : model.base.condition(captions, clipSkip: configuration.clipSkip, reading: .captions(rows: rows))
    }

    private func sampleWeights(_ batch: [Int]) -> [Float]? {
        guard configuration.priorLossWeight != 1 else { return nil }
        return batch.map { dataset.items[$0].isRegularisation ? configuration.priorLossWeight : 1 }
    }

    // MARK: Position

    private func advance(
        over batches: Int, loss: Float, norm: Float, rates: (unet: Double, text: Double), total: Int, pictures: Int, seconds: Double
    ) -> StepReport {
        let index = position.batch / configuration.accumulation, length = updatesInEpoch
        window.record(loss, at: index, of: length)
        position.advance(over: batches)
        return StepReport(
            step: position.step, epoch: position.epoch + 1, stepInEpoch: index + 1, stepsPerEpoch: length, stepInRun: position.stepInRun,
            totalSteps: total, loss: loss, averageLoss: window.mean, unetLearningRate: rates.unet, textEncoderLearningRate: rates.text,
            gradientNorm: norm, seconds: seconds, pictures: pictures, memory: model.device.pool.bytesInUse, peakMemory: model.device.pool.peakBytes)
    }

    /// Lays out the batches of the epoch that begins now.
    func beginEpoch() {
        batches = dataset.batches(size: position.batchSize, seed: configuration.seed ?? 0, epoch: position.epoch + 1)
    }

    private var updatesInEpoch: Int { (batches.count + configuration.accumulation - 1) / configuration.accumulation }

    /// Updates of the whole run: those done, those left in this epoch, and those of the epochs after it.
    public var totalSteps: Int {
        if let limit = configuration.maximumSteps { return limit }
        let left = position.batch == 0 ? 0 : (batches.count - position.batch + configuration.accumulation - 1) / configuration.accumulation
        let fullEpochs = configuration.epochs - position.epochsInRun - (position.batch == 0 ? 0 : 1)
        let later = dataset.batchesPerEpoch(size: configuration.batchSize)
        return position.stepInRun + left + max(0, fullEpochs) * ((later + configuration.accumulation - 1) / configuration.accumulation)
    }

    /// Whether there is nothing left of what the configuration asks for.
    public var isRunDone: Bool {
        if let limit = configuration.maximumSteps { return position.stepInRun >= limit }
        return position.epochsInRun >= configuration.epochs
    }

    private func plan() -> TrainingPlan {
        TrainingPlan(
            firstStep: position.step, totalSteps: totalSteps, doneSteps: position.stepInRun, firstEpoch: position.epoch + 1, epochs: configuration.epochs,
            stepsPerEpoch: updatesInEpoch, pictures: dataset.pictures.count, parameters: trainedParameters.reduce(0) { $0 + $1.parameter.value.count },
            seed: configuration.seed ?? 0, heldOutLoss: lastHeldOutLoss)
    }

    private func summary(seconds: Double) -> TrainingSummary {
        TrainingSummary(
            step: position.step, epoch: position.epoch, stepsInRun: position.stepInRun, totalSteps: totalSteps, firstLoss: firstLoss, lastLoss: lastLoss,
            heldOutLoss: lastHeldOutLoss, seconds: seconds)
    }

    // MARK: Ends of epochs

    private func endEpoch(seconds: Double, shouldStop: () -> Bool, _ event: (TrainingEvent) -> Void) throws {
        position.endEpoch(nextBatchSize: configuration.batchSize)
        beginEpoch()
        let epoch = position.epoch
        if isDue(configuration.evaluateEveryEpochs) { lastHeldOutLoss = try measureHeldOutLoss() }
        let isKept = isDue(configuration.saveEveryEpochs) || isRunDone
        if isKept {
            keptEpochs.removeAll { $0.epoch == epoch }
            keptEpochs.append((epoch, network.snapshot()))
        }
        event(.epochEnded(EpochReport(
            epoch: epoch, step: position.step, averageLoss: window.mean, heldOutLoss: lastHeldOutLoss, isKept: isKept, seconds: seconds)))
        if isKept, !isRunDone { try saveAdapter(isFinal: false, event) }
        try saveStateIfAsked(event)
        if configuration.sampleEveryEpochs > 0, isDue(configuration.sampleEveryEpochs) { try drawSamples(shouldStop: shouldStop, event) }
    }

    /// Whether something done every n epochs is to be done now; the last epoch of a run always counts.
    private func isDue(_ every: Int) -> Bool { every > 0 && (position.epoch % every == 0 || isRunDone) }

    private func finish(_ event: (TrainingEvent) -> Void) throws {
        if position.batch > 0 { keptEpochs.append((position.epoch + 1, network.snapshot())) }   // a limit of steps ended it midway
        try saveAdapter(isFinal: true, event)
    }

    private func drawSamples(shouldStop: () -> Bool, _ event: (TrainingEvent) -> Void) throws {
        let prompts = configuration.samplePrompts.enumerated().map { index, prompt in
            var prompt = prompt
            prompt.seed = prompt.seed ?? (configuration.seed ?? 0) &+ UInt64(index)     // the same picture every epoch
            return prompt
        }
        do {
            let images = try ImageGenerator(model).generate(prompts, clipSkip: configuration.clipSkip) { _ in
                if shouldStop() { throw GenerationError.cancelled }
            }
            for (index, image) in images.enumerated() {
                event(.sampled(SampleReport(epoch: position.epoch, step: position.step, index: index, image: image)))
            }
        } catch GenerationError.cancelled {
            return      // the stop itself is noticed between the updates
        }
    }
}

// MARK: - What learns

extension Trainer {
    /// Parameters with the part they belong to; parts with rate 0 are left out.
    var trainedParameters: [(part: AdapterPart, parameter: Parameter)] {
        network.adapters.flatMap { adapter in adapter.parameters.filter(\.isTrainable).map { (part: adapter.part, parameter: $0) } }
    }

    /// Marks as trainable what has a rate, so that gradients are computed for nothing else.
    func applyTargets() {
        let targets = configuration.specification.base
        for adapter in network.adapters {
            let learns = adapter.part == .unet ? targets.unet != .none : targets.textEncoder != .none
            for parameter in adapter.parameters where parameter.isTrainable != learns { parameter.isTrainable = learns }
        }
    }
}

/// Where a trainer stands. Counts go over all runs unless they say otherwise.
public struct TrainingPosition: Codable, Sendable, Equatable {
    /// Updates done.
    public private(set) var step = 0
    /// Epochs ended.
    public private(set) var epoch = 0
    /// Updates done and epochs ended in this run.
    public private(set) var stepInRun = 0, epochsInRun = 0
    /// Batches of the present epoch that are done.
    public private(set) var batch = 0
    /// Pictures in a batch of the present epoch.
    public private(set) var batchSize: Int

    init(batchSize: Int) { self.batchSize = batchSize }

    mutating func advance(over batches: Int) {
        step += 1
        stepInRun += 1
        batch += batches
    }

    mutating func endEpoch(nextBatchSize: Int) {
        epoch += 1
        epochsInRun += 1
        batch = 0
        batchSize = nextBatchSize
    }

    /// A new run begins with a whole epoch; one that was cut short by a limit of steps counts as ended.
    mutating func beginRun(batchSize: Int) {
        if batch > 0 { epoch += 1 }
        stepInRun = 0
        epochsInRun = 0
        batch = 0
        self.batchSize = batchSize
    }
}

/// The random sequences of a run, each with its own purpose, so that one does not disturb another.
struct TrainingRandomness: Sendable, Equatable {
    /// Noise, timesteps and what else a step draws, in Kohya's order.
    var noise: TorchGenerator
    /// Dropout and order of tags.
    var captions: TorchGenerator
    /// Initial values of the adapter.
    var weights: TorchGenerator

    init(seed: UInt64) {
        noise = TorchGenerator(seed: seed)
        captions = TorchGenerator(seed: seed &+ 0x5EED_CAFE)
        weights = TorchGenerator(seed: seed &+ 0x5EED_0BAD)
    }
}

extension AdamW {
    init(_ settings: AdamWSettings) {
        self.init(beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon, weightDecay: settings.weightDecay)
    }

    /// Other settings from here on; what was averaged stays.
    mutating func take(_ settings: AdamWSettings) {
        (beta1, beta2, epsilon, weightDecay) = (settings.beta1, settings.beta2, settings.epsilon, settings.weightDecay)
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
