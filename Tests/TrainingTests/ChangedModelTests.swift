import Adapters
import Diffusion
import Foundation
import Models
import Training
import Testing

/// A model's file that changes while it is in use.
@Suite("Changed models") struct ChangedModelTests {
    let studio: TinyStudio
    let folder: String
    let model: DiffusionModel

    init() throws {
        studio = try TinyStudio()
        folder = studio.file("model")
        model = try TinyStudio.makeModel(denoiserIn: folder)
    }

    private var file: String { folder + "/unet.safetensors" }

    private func trainer(_ model: DiffusionModel, _ change: (inout TrainingConfiguration) -> Void = { _ in }) throws -> Trainer {
        try Trainer(model: model, dataset: studio.dataset, heldOut: studio.heldOut, configuration: TinyStudio.configuration(change))
    }

    private func expectChanged(_ body: () throws -> Void) {
        let error = #expect(throws: ModelFileError.self) { try body() }
        guard case .changed(file, _, let wayOut)? = error else { Issue.record("\(String(describing: error))"); return }
        #expect(wayOut.contains("%model tiny"))
    }

    @Test("a step whose weights may be others is not applied; the run goes on from its state with the numbers of one that was left alone")
    func training() throws {
        let whole = try trainer(TinyStudio.makeModel()), part = try trainer(TinyStudio.makeModel())
        try whole.run()
        try part.run(stoppingAfter: 2)
        let cut = try trainer(model) { $0.stateFile = studio.file("state.safetensors") }
        expectChanged {
            try cut.train { event in
                if case .stepped(let report) = event, report.step == 2 { truncate(file, 1000) }
            }
        }
        #expect(cut.position.step == 2 && cut.bits == part.bits)
        expectChanged { try cut.train { _ in } }
        #expect(cut.position.step == 2 && cut.bits == part.bits)
        let resumed = try Trainer(resuming: studio.file("state.safetensors"), model: TinyStudio.makeModel(), dataset: studio.dataset, heldOut: studio.heldOut)
        try resumed.run()
        #expect(resumed.bits == whole.bits)
    }

    @Test("a state is its own copy: its file may change once it has been read") func state() throws {
        let former = try trainer(TinyStudio.makeModel()), path = studio.file("state.safetensors")
        try former.run(stoppingAfter: 2)
        try former.saveState(to: path)
        let resumed = try Trainer(resuming: path, model: TinyStudio.makeModel(), dataset: studio.dataset, heldOut: studio.heldOut)
        truncate(path, 10)
        try resumed.run()
        try former.run()
        #expect(resumed.bits == former.bits)
    }

    @Test("a picture is not drawn with weights that may be others, and no loss is measured") func drawing() throws {
        let prompt = SamplePrompt("cube", width: 16, height: 16, seed: 1, guidanceScale: 3, steps: 4, sampler: .euler), generator = ImageGenerator(model)
        let trainer = try trainer(model)
        #expect(try generator.generate([prompt]).count == 1)
        var evaluations = 0
        expectChanged {
            _ = try generator.generate([prompt]) { progress in
                evaluations = progress.done
                if progress.done == 2 { truncate(file, 1000) }
            }
        }
        #expect(evaluations == 2)
        expectChanged { _ = try trainer.measureHeldOutLoss() }
    }
}
