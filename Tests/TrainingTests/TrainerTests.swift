import Adapters
import Checkpoints
import Datasets
import Diffusion
import Foundation
import Neural
import TensorCore
import Training
import Testing

@Suite("Trainer") struct TrainerTests {
    @Test("one batch over-fits, its noise and timesteps held fixed") func overfits() throws {
        let model = try TinyStudio.makeModel()
        var generator = TorchGenerator(seed: 4)
        let network = try AdapterNetwork(.init(.standard, .init(rank: 16, textEncoder: .all)), model: model.adaptable, generator: &generator)
        network.attach()
        let shape = [2, 8, 8, 4], timesteps = [100, 700]
        let clean = Tensor.latentNoise(shape, generator: &generator), noise = Tensor.latentNoise(shape, generator: &generator)
        let noisy = model.schedule.addNoise(clean, noise: noise, timesteps: timesteps)
        var optimizer = AdamW(), losses: [Float] = []
        for _ in 0..<300 {
            let prediction = model.unet(noisy, timesteps: timesteps.map(Float.init), context: model.base.condition(["a cube", "a ball"]).context)
            let loss = Objective()(prediction, target: noise, timesteps: timesteps, schedule: model.schedule)
            let found = gradients(of: loss, for: network.parameters.map(\.tensor))
            optimizer.step(network.parameters, gradients: found, learningRate: 1e-2)
            losses.append(loss.item())
        }
        #expect(losses[299] < 0.5 * losses[0], "\(losses[0]) → \(losses[299])")
    }

    @Test("a run on one picture lowers the loss by a tenth") func learns() throws {
        let studio = try TinyStudio(pictures: 1, repeats: 1)
        let trainer = try studio.trainer {
            $0.epochs = 150
            $0.rank = 16
            $0.schedule = .constant
            $0.textEncoderTargets = .all
            $0.minimumTimestep = 900
        }
        let losses = try trainer.run().steps.map(\.loss)
        let first = losses.prefix(20).reduce(0, +) / 20, last = losses.suffix(20).reduce(0, +) / 20
        #expect(last < 0.9 * first, "mean loss of the first and last 20 steps: \(first), \(last)")
    }

    @Test("the held-out loss falls, is measured with fixed noise, and does not disturb the run") func heldOut() throws {
        let studio = try TinyStudio(pictures: 4, repeats: 8)
        let watched = try studio.trainer(heldOut: true), unwatched = try studio.trainer()
        let events = try watched.run()
        try unwatched.run()
        #expect(watched.bits == unwatched.bits)
        guard case .started(let plan)? = events.first(where: { if case .started = $0 { true } else { false } }), let before = plan.heldOutLoss else {
            Issue.record("no held-out loss at the start")
            return
        }
        let after = events.epochs.compactMap(\.heldOutLoss)
        #expect(after.count == 2 && after[1] < before, "\(before) → \(after)")
        #expect(try watched.measureHeldOutLoss() == after[1])
    }

    @Test("the same seed gives the same bytes, another seed others") func reproducible() throws {
        let studio = try TinyStudio()
        let a = try studio.trainer(), b = try studio.trainer(), c = try studio.trainer { $0.seed = 8 }
        for trainer in [a, b, c] { try trainer.run() }
        #expect(a.bits == b.bits && a.bits != c.bits)
        try a.saveAdapter(to: studio.file("a.safetensors"))
        try b.saveAdapter(to: studio.file("b.safetensors"))
        #expect(try FileHash.tensors(path: studio.file("a.safetensors")) == FileHash.tensors(path: studio.file("b.safetensors")))
    }

    /// Settings under which every random sequence and every kind of state takes part.
    static let kinds: [(name: String, change: @Sendable (inout TrainingConfiguration) -> Void)] = [
        ("plain", { _ in }),
        ("accumulation of 2, warm-up, dropout and shuffling", {
            $0.epochs = 4
            $0.accumulation = 2
            $0.warmup = .steps(2)
            $0.captions = CaptionOptions(dropoutRate: 0.2, tagDropoutRate: 0.2, shuffles: true, keepTokens: 1)
            $0.noiseOffset = 0.1
            $0.inputPerturbation = 0.1
        }),
        ("text encoder, no latent cache, recomputation", {
            $0.textEncoderTargets = .all
            $0.cachesLatents = false
            $0.recomputes = true
            $0.objective = Objective(loss: .huber, minSNRGamma: 5)
        }),
    ]

    @Test("interrupted and continued equals uninterrupted", arguments: [0, 1, 2], [1, 3, 5])
    func continues(kind: Int, stop: Int) throws {
        let studio = try TinyStudio(), change = Self.kinds[kind].change
        let whole = try studio.trainer(change), broken = try studio.trainer(change)
        let expected = try whole.run().steps
        let first = try broken.run(stoppingAfter: stop)
        guard case .stopped(let summary)? = first.last else {
            Issue.record("the run of \(expected.count) steps was not stopped after \(stop)")
            return
        }
        #expect(summary.stepsInRun == stop && first.steps.count == stop && !broken.isRunDone)
        let second = try broken.run()
        #expect(broken.bits == whole.bits && broken.isRunDone, "\(Self.kinds[kind].name)")
        #expect((first + second).steps.map(\.loss) == expected.map(\.loss))
        #expect((first + second).steps.map(\.averageLoss) == expected.map(\.averageLoss))
        #expect((first + second).steps.map(\.totalSteps) == expected.map(\.totalSteps))
    }

    @Test("killed and resumed from the state file equals uninterrupted", arguments: [0, 1, 2], [1, 3, 5])
    func resumes(kind: Int, stop: Int) throws {
        let studio = try TinyStudio(), change = Self.kinds[kind].change
        let whole = try studio.trainer(change)
        let expected = try whole.run().steps
        let killed = try studio.trainer(change)
        try killed.run(stoppingAfter: stop)
        try killed.saveState(to: studio.file("state.safetensors"))
        let resumed = try Trainer(resuming: studio.file("state.safetensors"), model: TinyStudio.makeModel(), dataset: studio.dataset)
        #expect(resumed.position == killed.position && resumed.configuration == killed.configuration)
        let rest = try resumed.run().steps
        #expect(resumed.bits == whole.bits, "\(Self.kinds[kind].name)")
        #expect(rest.map(\.loss) == expected.dropFirst(stop).map(\.loss) && rest.map(\.averageLoss) == expected.dropFirst(stop).map(\.averageLoss))
        #expect(rest.map(\.step) == expected.dropFirst(stop).map(\.step))
    }

    @Test("the state is written after each epoch and at a stop") func stateFiles() throws {
        let studio = try TinyStudio()
        let trainer = try studio.trainer { $0.stateFile = studio.file("run-state.safetensors") }
        let events = try trainer.run(stoppingAfter: 6)
        #expect(events.saves.map(\.kind) == [.state, .state] && events.saves.allSatisfy { $0.bytes > 1000 })
        let resumed = try Trainer(resuming: studio.file("run-state.safetensors"), model: TinyStudio.makeModel(), dataset: studio.dataset)
        #expect(resumed.position.step == 6 && resumed.bits == trainer.bits)
    }

    @Test("a state of other pictures, another model or another kind of file is refused") func wrongState() throws {
        let studio = try TinyStudio(), other = try TinyStudio(pictures: 3)
        let trainer = try studio.trainer(), file = studio.file("state.safetensors")
        try trainer.saveState(to: file)
        #expect(throws: TrainingError.self) { try Trainer(resuming: file, model: TinyStudio.makeModel(), dataset: other.dataset) }
        try trainer.saveAdapter(to: file)
        #expect(throws: TrainingError.invalidState(file: file, reason: "it is a safetensors file of another kind")) {
            try Trainer(resuming: file, model: TinyStudio.makeModel(), dataset: studio.dataset)
        }
        #expect(throws: CheckpointError.self) { try Trainer(resuming: studio.file("none"), model: TinyStudio.makeModel(), dataset: studio.dataset) }
    }

    @Test("reports count steps, epochs and rates") func reports() throws {
        let studio = try TinyStudio()     // 8 visits in two buckets of 4: 4 batches of 2
        let trainer = try studio.trainer {
            $0.warmup = .steps(2)
            $0.schedule = .linear
            $0.textEncoderTargets = .all
            $0.textEncoderLearningRate = 1e-3
        }
        let events = try trainer.run(), steps = events.steps
        #expect(steps.map(\.step) == Array(1...8) && steps.map(\.epoch) == [1, 1, 1, 1, 2, 2, 2, 2] && steps.map(\.stepInEpoch) == [1, 2, 3, 4, 1, 2, 3, 4])
        #expect(steps.allSatisfy { $0.totalSteps == 8 && $0.stepsPerEpoch == 4 && $0.pictures == 2 && $0.seconds > 0 && $0.memory > 0 && $0.gradientNorm > 0 })
        let multipliers: [Double] = [0, 0.5, 1, 5.0 / 6, 4.0 / 6, 3.0 / 6, 2.0 / 6, 1.0 / 6]
        for (step, multiplier) in zip(steps, multipliers) {
            #expect(abs(step.unetLearningRate - 1e-2 * multiplier) < 1e-9 && abs(step.textEncoderLearningRate - 1e-3 * multiplier) < 1e-9)
        }
        // The window holds one epoch: means of the losses so far, then slot after slot is replaced.
        let losses = steps.map(\.loss)
        #expect(abs(steps[1].averageLoss - (losses[0] + losses[1]) / 2) < 1e-6)
        #expect(abs(steps[5].averageLoss - (losses[4] + losses[5] + losses[2] + losses[3]) / 4) < 1e-6)
        #expect(events.epochs.map(\.epoch) == [1, 2] && events.epochs.allSatisfy(\.isKept))
        #expect(trainer.keptEpochs.map(\.epoch) == [1, 2])
        guard case .finished(let summary)? = events.last else {
            Issue.record("the run did not finish")
            return
        }
        #expect(summary.stepsInRun == 8 && summary.firstLoss == losses[0] && summary.lastLoss == losses[7])
    }

    @Test("a limit of steps ends a run, the next begins with a whole epoch") func stepLimit() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer { $0.maximumSteps = 6 }
        #expect(try trainer.run().steps.count == 6)
        #expect(trainer.isRunDone && trainer.position.batch == 2 && trainer.keptEpochs.map(\.epoch) == [1, 2])
        try trainer.configure(TinyStudio.configuration { $0.epochs = 1 })
        #expect(trainer.totalSteps == 4)
        let next = try trainer.run().steps
        #expect(next.map(\.step) == [7, 8, 9, 10] && next.allSatisfy { $0.epoch == 3 })
    }

    @Test("a finished run is continued under changed settings with nothing reloaded") func configure() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer()
        try trainer.run()
        let before = trainer.network.modules.map { $0.weightDelta() }
        let (changes, resized) = try trainer.configure(TinyStudio.configuration {
            $0.learningRate = 1e-3
            $0.rank = 8
            $0.alpha = 4
            $0.batchSize = 4
            $0.textEncoderTargets = .all
        })
        #expect(Set(changes.map(\.setting)) == ["learningRate", "rank", "alpha", "batchSize", "textEncoderTargets"])
        #expect(changes.first { $0.setting == "alpha" }?.before == "none" && changes.first { $0.setting == "alpha" }?.after == "4.0")
        #expect(resized.count == 48 && trainer.network.size?.rank == 8 && trainer.network.modules.count == 60)
        for (module, old) in zip(trainer.network.modules.filter { $0.part == .unet }, before) {
            let new = module.weightDelta().array
            #expect(zip(new, old.array).allSatisfy { abs($0 - $1) < 1e-5 })
        }
        let steps = try trainer.run().steps
        #expect(steps.map(\.epoch) == [3, 3, 4, 4] && steps.allSatisfy { $0.pictures == 4 && $0.unetLearningRate <= 1e-3 })
        #expect(trainer.network.modules.filter { $0.part == .textEncoder }.allSatisfy { $0.up.value.array.contains { $0 != 0 } })
    }

    @Test("within a run, the rate changes what follows and the run keeps its place") func configureMidway() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer()
        try trainer.run(stoppingAfter: 3)
        try trainer.configure(TinyStudio.configuration { $0.learningRate = 1e-5 })
        let rest = try trainer.run().steps
        #expect(rest.map(\.step) == [4, 5, 6, 7, 8] && rest.allSatisfy { $0.unetLearningRate < 1e-5 })
    }

    @Test("settings that are refused change nothing") func refused() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer()
        try trainer.run(stoppingAfter: 2)
        let before = (trainer.bits, trainer.configuration, trainer.position)
        #expect(throws: (any Error).self) { try trainer.configure(TinyStudio.configuration { $0.rank = 0 }) }
        #expect(throws: (any Error).self) { try trainer.configure(TinyStudio.configuration { $0.clipSkip = 3 }) }
        #expect(trainer.bits == before.0 && trainer.configuration == before.1 && trainer.position == before.2)
    }

    @Test("a change that is refused midway, after the rank has changed, leaves no trace in what follows", arguments: [true, false])
    func refusedMidway(isTrial: Bool) throws {
        let studio = try TinyStudio(), whole = try studio.trainer(), disturbed = try studio.trainer()
        let expected = try whole.run().steps.map(\.loss)
        var losses = try disturbed.run(stoppingAfter: 3).steps.map(\.loss)
        let taken = TinyStudio.configuration {
            $0.rank = 8
            $0.textEncoderTargets = .all
            $0.adamW.beta1 = 0.5
        }
        if isTrial {
            try disturbed.onTrial { _ = try disturbed.configure(taken) }
        } else {
            var refused = taken
            refused.memoryLimit = 1 << 20
            #expect { try disturbed.configure(refused) } throws: { error in if case TrainingError.doesNotFit = error { true } else { false } }
        }
        losses += try disturbed.run().steps.map(\.loss)
        #expect(losses == expected)
        #expect(disturbed.bits == whole.bits)
    }

    @Test("a number that is not finite stops the run before the adapter takes harm") func notFinite() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer { $0.stateFile = studio.file("state.safetensors") }
        try trainer.run(stoppingAfter: 3)
        let before = trainer.bits, state = try Data(contentsOf: URL(filePath: studio.file("state.safetensors")))
        trainer.model.unet.registry.parameters[0].parameter.value = Tensor.full(.nan, trainer.model.unet.registry.parameters[0].parameter.value.shape)
        #expect(throws: TrainingError.notFinite(what: "the loss", step: 4)) { try trainer.run() }
        #expect(trainer.bits == before)
        #expect(try Data(contentsOf: URL(filePath: studio.file("state.safetensors"))) == state)
        trainer.network.modules[0].up.update { $0 = $0 + .infinity }
        #expect(throws: TrainingError.notFinite(what: "the adapter", step: 3)) { try trainer.saveAdapter(to: studio.file("bad.safetensors")) }
        #expect(!FileManager.default.fileExists(atPath: studio.file("bad.safetensors")))
    }

    @Test("the base model's weights stay as they were, and detaching brings it back") func baseUntouched() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer()
        let weights = trainer.model.unet.registry.parameters.map { $0.parameter.value.array }
        try trainer.run()
        #expect(trainer.model.unet.registry.parameters.map { $0.parameter.value.array } == weights)
        let prompt = SamplePrompt("cube", width: 16, height: 16, seed: 1, steps: 2)
        let adapted = try ImageGenerator(trainer.model).generate([prompt])
        trainer.network.detach()
        let base = try ImageGenerator(trainer.model).generate([prompt])
        #expect(base != adapted)
        #expect(try base == ImageGenerator(TinyStudio.makeModel()).generate([prompt]))
    }

    @Test("files carry Kohya's names and metadata") func files() throws {
        let studio = try TinyStudio()
        let trainer = try studio.trainer {
            $0.outputFolder = studio.path
            $0.outputName = "toy"
            $0.savePrecision = .float
            $0.clipSkip = 2
        }
        let events = try trainer.run()
        #expect(events.saves.map(\.path) == ["\(studio.path)/toy-000001.safetensors", "\(studio.path)/toy.safetensors"])
        let file = try AdapterFile(path: studio.file("toy.safetensors"))
        let expected = [
            "ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_network_alpha": "4.0", "ss_output_name": "toy", "ss_steps": "8", "ss_epoch": "2",
            "ss_num_train_images": "8", "ss_resolution": "(16, 16)", "ss_clip_skip": "2", "ss_base_model_version": "sd_v1", "ss_v2": "False", "ss_seed": "7",
            "ss_dataset_dirs": "{\"2_style\": {\"n_repeats\": 2, \"img_count\": 4}}", "modelspec.architecture": "stable-diffusion-v1/lora",
        ]
        for (key, value) in expected { #expect(file.metadata[key] == value, "\(key)") }
        #expect(file.metadata["ss_tag_frequency"]?.contains("\"style\": 4") == true && file.metadata["sshs_model_hash"]?.count == 64)
        let bucketInfo = try JSONSerialization.jsonObject(with: Data((file.metadata["ss_bucket_info"] ?? "").utf8))
        #expect(((bucketInfo as? [String: Any])?["buckets"] as? [String: Any])?.count == 2)
        let again = try AdapterNetwork(file, model: AdaptableModel(unet: studio.model.unet.registry))
        #expect(again.parameters.flatMap { $0.value.array.map(\.bitPattern) } == trainer.bits)
    }

    @Test("samples are drawn with fixed noise and do not disturb the run") func samples() throws {
        let studio = try TinyStudio()
        let plain = try studio.trainer(), drawing = try studio.trainer {
            $0.samplesAtFirst = true
            $0.sampleEveryEpochs = 1
            $0.samplePrompts = [SamplePrompt("a cube", width: 16, height: 16, steps: 2), SamplePrompt("a ball", width: 24, height: 16, seed: 3, steps: 2)]
        }
        let events = try drawing.run()
        try plain.run()
        #expect(plain.bits == drawing.bits)
        #expect(events.samples.map(\.epoch) == [0, 0, 1, 1, 2, 2] && events.samples.map(\.index) == [0, 1, 0, 1, 0, 1])
        #expect(events.samples.map(\.image.prompt.seed) == [7, 3, 7, 3, 7, 3])
        #expect(events.samples[0].image.pixels != events.samples[4].image.pixels)
    }

    @Test("other pictures can be brought in, and the adapter stays") func otherPictures() throws {
        let studio = try TinyStudio(), more = try TinyStudio(pictures: 6), trainer = try studio.trainer()
        try trainer.run(stoppingAfter: 2)
        let before = trainer.bits
        try trainer.use(more.dataset, heldOut: nil)
        #expect(trainer.bits == before && trainer.position.batch == 0)
        #expect(try trainer.run().steps.first?.stepsPerEpoch == 6)
    }

    @Test("pictures that do not fit the model are refused with the multiple that does") func buckets() throws {
        let studio = try TinyStudio()
        var options = TinyStudio.options
        options.buckets.isEnabled = false
        options.resolution = PixelSize(17, 16)
        let dataset = try Dataset(studio.file("train"), options: options)
        #expect(throws: TrainingError.bucketDoesNotFit(PixelSize(17, 16), multiple: 2)) {
            try Trainer(model: studio.model, dataset: dataset, configuration: TinyStudio.configuration())
        }
    }

    @Test("a v-prediction model learns, too") func velocity() throws {
        let studio = try TinyStudio()
        let trainer = try Trainer(model: TinyStudio.makeModel(prediction: .velocity), dataset: studio.dataset, configuration: TinyStudio.configuration { $0.epochs = 6 })
        let losses = try trainer.run().steps.map(\.loss)
        #expect(losses.suffix(4).reduce(0, +) < losses.prefix(4).reduce(0, +))
    }
}
