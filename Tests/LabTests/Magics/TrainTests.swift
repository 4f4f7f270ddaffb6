import Adapters
import Foundation
import Kernel
import Lab
import Testing
import Training

@Suite("%train, %set, %status", .serialized)
struct TrainTests {
    @Test("the first call makes an adapter, the next one goes on with what changed")
    func continues() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let first = try cells.run("train --epochs 2 --rank 4 --batch 2 --seed 3 --lr 1e-3")
        // 3 pictures × 2 repeats in batches of 2: 3 steps an epoch.
        #expect(cells.session.trainer?.position.step == 6)
        #expect(first.text.contains("A new LoRA of rank 4") && first.text.contains("Done: 6 steps of 6"))
        #expect(first.text.contains("steps/s") && first.text.contains("epoch 2/2"))
        #expect(first.pictures.count == 1)

        let second = try cells.run("train --epochs 1 --lr 5e-4 --rank 2")
        #expect(cells.session.trainer?.position.step == 9)
        #expect(cells.session.network?.size?.rank == 2)
        #expect(second.text.contains("lr 0.001 → 0.0005") && second.text.contains("rank 4 → 2") && second.text.contains("smaller rank keeps"))
        #expect(cells.session.trainer?.keptEpochs.map(\.epoch) == [1, 2, 3])
        #expect(cells.session.history.changes.map(\.step) == [6, 6])         // rate and rank
        #expect(cells.session.history.steps.map(\.step) == Array(1...9))
    }

    @Test("settings that are not mentioned stay")
    func staying() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --steps 2 --rank 4 --batch 3 --scheduler linear")
        try cells.run("train --lr 1e-5")
        let configuration = try #require(cells.session.trainer?.configuration)
        #expect((configuration.maximumSteps, configuration.rank, configuration.batchSize, configuration.schedule) == (2, 4, 3, .linear))
        #expect(cells.session.trainer?.position.step == 4)
    }

    @Test("the interrupt button stops after the step in hand; the next call ends what was begun")
    func interrupt() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        #expect(throws: KeyboardInterrupt.self) {
            try cells.run("train --epochs 4 --batch 1 --rank 2", interruptWhen: Self.isFirstPlot)
        }
        let stopped = try #require(cells.session.trainer?.position.step)
        #expect((1..<24).contains(stopped))
        #expect(cells.last.text.contains("Stopped: ") && cells.last.text.contains("%train goes on from here"))
        try cells.run("train")
        #expect(cells.session.trainer?.position.step == 24)
        #expect(cells.session.trainer?.isRunDone == true)
    }

    /// The plot appears with the first step.
    private static let isFirstPlot: @Sendable (CellEvent) -> Bool = { event in
        if case .display(let data, _) = event { data.png != nil } else { false }
    }

    @Test("interrupted and continued equals uninterrupted, to the last bit")
    func interruptedEqualsUninterrupted() throws {
        let line = "train --epochs 2 --batch 1 --rank 2 --seed 11 --lr 1e-3"
        let whole = try Cells(), broken = try Cells()
        try whole.run("dataset \(try whole.makeDataset())")
        try whole.run(line)
        let expected = try #require(whole.session.network?.snapshot())
        try broken.run("dataset \(try broken.makeDataset())")
        #expect(throws: KeyboardInterrupt.self) { try broken.run(line, interruptWhen: Self.isFirstPlot) }
        try broken.run("train")
        let found = try #require(broken.session.network?.snapshot())
        #expect(found == expected)
    }

    @Test("a bad flag, a bad value or a missing dataset changes nothing", arguments: [
        "train --rank 0", "train --lr -1", "train --epochs 1e9", "train --colour red", "train --clip_skip 9 --rank 8", "train --sample red --sample_steps 0",
        "train --network_weights missing.safetensors", "train --sample_prompts missing.txt", "train --resume",
    ])
    func nothingChanges(line: String) throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --steps 1 --rank 2 --seed 1")
        let before = try #require(cells.session.trainer?.configuration)
        let error = cells.failure(line)
        #expect(error != nil && !(error?.message.isEmpty ?? true))
        #expect(cells.session.trainer?.configuration == before)
        #expect(cells.session.trainer?.position.step == 1)
    }

    @Test("without a dataset, and without captions, there is nothing to train on")
    func nothingToTrainOn() throws {
        let cells = try Cells()
        #expect(cells.failure("train")?.hint?.contains("%dataset") == true)
        try cells.run("dataset \(try cells.makeDataset(captioned: false))")
        let error = cells.failure("train")
        #expect(error?.message.contains("caption") == true)
        #expect(cells.session.trainer == nil)
    }

    @Test("%set waits for the next run, and survives a run that could not start")
    func set() throws {
        let cells = try Cells()
        let shown = try cells.run("set lr=3e-4 rank=2 epochs=1")
        #expect(shown.text.contains("with the next %train"))
        #expect(cells.failure("train") != nil)                                  // no dataset yet
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --batch 6")
        #expect(cells.session.trainer?.configuration.learningRate == 3e-4)
        #expect(cells.session.network?.size?.rank == 2)
        #expect(cells.failure("set lr")?.hint?.contains("learning_rate=") == true)
        #expect(cells.failure("set lrr=1")?.hint?.contains("lr") == true)
        #expect(cells.failure("set") != nil)
    }

    @Test("a change posted while a run goes on is taken between two steps")
    func setWhileTraining() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let session = cells.session
        try cells.run("train --epochs 2 --batch 1 --rank 2 --lr 1e-3 --scheduler constant", interruptWhen: { event in
            if Self.isFirstPlot(event), let settings = try? Settings.posted(["lr=1e-4"]) { session.post(settings) }
            return false
        })
        #expect(session.trainer?.position.step == 12)
        #expect(session.history.steps.first?.learningRate == 1e-3)
        #expect(session.history.steps.last?.learningRate == 1e-4)
        #expect(cells.last.text.contains("Changed: lr 0.001 → 0.0001"))
    }

    /// Lines of settings, each with one that the run ends elsewhere by.
    private static let effects: [(plain: String, changed: String)] = [
        ("--scheduler cosine_with_restarts", "--scheduler cosine_with_restarts --lr_scheduler_num_cycles 2"), ("--scheduler polynomial", "--scheduler polynomial --lr_scheduler_power 3"),
        ("--scheduler cosine", "--scheduler cosine_with_min_lr --lr_scheduler_min_lr_ratio 0.5"), ("", "--optimizer_args betas=0.5,0.9"), ("", "--optimizer_args eps=0.01"),
        ("", "--optimizer_args weight_decay=0.9"), ("", "--min_timestep 900"), ("", "--max_timestep 100"), ("", "--loss_type huber"), ("--loss_type huber", "--loss_type smooth_l1"),
        ("", "--loss_type l1"), ("--loss_type huber", "--loss_type huber --huber_c 0.9"), ("--loss_type huber", "--loss_type huber --huber_schedule constant"),
        ("--loss_type huber --huber_schedule constant", "--loss_type huber --huber_schedule constant --huber_scale 5"), ("", "--debiased_estimation_loss"),
        ("--noise_offset 0.5", "--noise_offset 0.5 --noise_offset_random_strength"), ("", "--ip_noise_gamma 0.5"), ("", "--caption_tag_dropout_rate 1 --keep_tokens 1"),
        ("", "--caption_dropout_every_n_epochs 2"), ("", "--caption_prefix blue"), ("", "--caption_suffix torus"), ("--shuffle_caption", "--shuffle_caption --caption_separator e"),
    ]

    @Test("a setting moves the weights that a run ends with; without it they are the same again", arguments: effects)
    func effect(plain: String, changed: String) throws {
        func weights(_ settings: String) throws -> AdapterSnapshot? {
            let cells = try Cells()
            try cells.run("dataset \(try cells.makeDataset())")
            try cells.run("train --epochs 2 --batch 2 --rank 2 --alpha 2 --seed 5 --lr 1e-2 --te_lr 1e-2 \(settings)")
            return cells.session.network?.snapshot()
        }
        let found = try #require(try weights(plain)), again = try #require(try weights(plain)), other = try #require(try weights(changed))
        #expect(found == again && found != other)
    }

    @Test("a name that does no more than another one is told", arguments: [
        ("--optimizer AdamW8bit", "full precision"), ("--scheduler cosine_with_restarts", "one cycle is cosine"), ("--scheduler polynomial", "power 1 is linear"),
    ])
    func remarks(settings: String, part: String) throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        #expect(try cells.run("train --steps 1 --rank 2 \(settings)").text.contains(part))
        #expect(try !cells.run("train --steps 1 --lr_scheduler_num_cycles 2 --lr_scheduler_power 2").text.contains(part))
    }

    @Test("a run that cannot be recorded goes on, and the cell tells") func unrecorded() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try FileManager.default.createDirectory(atPath: cells.folder + "/data/runs.sqlite", withIntermediateDirectories: true)
        let shown = try cells.run("train --steps 2 --rank 2")
        #expect(shown.text.contains("Done: 2 steps of 2") && shown.text.contains("not in the history of runs"))
    }

    @Test("a changed loss is told by its name") func changedLoss() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --steps 1 --rank 2")
        #expect(try cells.run("train --loss_type huber --optimizer_args eps=1e-6").text.contains("Going on with eps 1e-08 → 1e-06, loss_type l2 → huber."))
        #expect(try cells.run("status").text.contains("loss_type huber"))
    }

    @Test("samples are drawn after each epoch, each in its column")
    func samples() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let shown = try cells.run("train --epochs 2 --batch 6 --rank 2 --sample a red cube --sample \"a blue torus --d 3\" --sample_steps 2")
        #expect(shown.text.contains("Samples after epoch 1, epoch 2"))
        #expect(shown.pictures.count == 2)
        #expect(cells.session.trainer?.configuration.samplePrompts.map(\.text) == ["a red cube", "a blue torus"])
        #expect(cells.session.trainer?.configuration.samplePrompts.last?.seed == 3)
    }

    @Test("a restarted session goes on from the saved state with the recorded history")
    func resume() throws {
        let cells = try Cells()
        let set = try cells.makeDataset()
        try cells.run("dataset \(set)")
        try cells.run("train --epochs 2 --batch 2 --rank 2 --seed 4 --lr 1e-3")
        let expected = try #require(cells.session.network?.snapshot())

        let later = try Cells(folder: cells.folder)
        try later.run("dataset \(set)")
        let shown = try later.run("train --resume")
        #expect(shown.text.contains("Going on"))
        #expect(later.session.trainer?.position.step == 6)
        #expect(later.session.history.steps.count == 6 && later.session.history.epochs.map(\.epoch) == [1, 2])
        let found = try #require(later.session.network?.snapshot())
        #expect(found == expected)
    }

    @Test("held-out pictures are measured before the first step and after each epoch")
    func heldOut() throws {
        let cells = try Cells()
        let held = try cells.makeDataset("held", pictures: 2, repeats: 1)
        try cells.run("dataset \(try cells.makeDataset()) --held_out \(held)")
        let shown = try cells.run("train --epochs 2 --batch 6 --rank 2")
        #expect(cells.session.history.heldOut.map(\.step) == [0, 1, 2])
        #expect(shown.text.contains("Loss on held-out pictures"))
        let status = try cells.run("status")
        #expect(status.text.contains("held-out loss") && status.text.contains("2 held out"))
        guard case .display(let data, _) = status[0] else { Issue.record("%status shows nothing"); return }
        let json = try #require(data.further["application/vnd.loralab.status+json"])
        #expect(json["steps"]?.integer == 2 && json["first_loss"]?.double != nil)
    }

    @Test("%plot draws what was recorded, and says so when nothing was")
    func plot() throws {
        let cells = try Cells()
        #expect(cells.failure("plot")?.message == "there is no training run to show")
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --epochs 1 --batch 2 --rank 2")
        let shown = try cells.run("plot loss lr norm")
        #expect(shown.pictures.count == 1)
        #expect(shown.text.contains("loss by epoch: epoch 1:") && shown.text.contains("gradient norm"))
        try cells.run("train --fresh --steps 1 --output_name second")
        #expect(try cells.run("plot --all").text.contains("2 runs"))
        #expect(try cells.run("plot").text.contains("Training: second"))
    }
}
