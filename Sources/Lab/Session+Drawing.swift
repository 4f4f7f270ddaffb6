import Adapters
import Diffusion
import TensorCore
import Training

extension Session {
    /// What a prompt does not say: the model's own size; on the small embedded model fewer steps than Kohya's 30 do.
    public func samplePromptDefaults(for model: LoadedModel) -> SamplePrompt {
        let side = model.nativeSide
        return model.guideApplies
            ? SamplePrompt("", width: side, height: side, sampler: .eulerAncestral)
            : SamplePrompt("", width: side, height: side, guidanceScale: 5, steps: 16, sampler: .dpmSolverMultistepKarras)
    }

    /// Draws every picture of a plan. The adapter is afterwards as it was.
    ///
    /// - Parameters:
    ///   - progress: evaluations of the denoiser done and in all; what it throws ends the drawing.
    /// - Returns: the plan with its seeds drawn, and the pictures.
    /// - Throws: `LabError` when there is no adapter for a stage or a strength; `GenerationError`.
    public func draw(
        _ plan: SamplePlan, clipSkip: Int? = nil, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
    ) throws -> (plan: SamplePlan, pictures: [SamplePlan.Cell: GeneratedImage]) {
        try plan.validate()
        let model = try requireModel()
        var plan = plan
        for i in plan.prompts.indices where plan.prompts[i].seed == nil { plan.prompts[i].seed = UInt64(UInt32.random(in: 0 ... .max)) }
        let snapshots = try plan.stages.map(snapshot)
        guard network != nil || !plan.adapters.isEmpty || plan.strengths == [Strength()] else { throw LabError.noAdapter }
        let files = try plan.adapters.map { ($0, try AdapterNetwork(AdapterFile(path: $0.path), model: model.diffusion.adaptable)) }

        let generator = ImageGenerator(model.diffusion), rounds = plan.stages.count * plan.strengths.count
        var pictures: [SamplePlan.Cell: GeneratedImage] = [:], round = 0
        for (stageIndex, stage) in plan.stages.enumerated() {
            for (strengthIndex, strength) in plan.strengths.enumerated() {
                let images = try applying(stage, snapshots[stageIndex], strength, files) {
                    try generator.generate(plan.prompts, clipSkip: clipSkip) { try progress(round * $0.total + $0.done, rounds * $0.total) }
                }
                for (prompt, image) in images.enumerated() {
                    pictures[SamplePlan.Cell(prompt: prompt, stage: stageIndex, strength: strengthIndex)] = image
                }
                round += 1
            }
        }
        return (plan, pictures)
    }

    /// The adapter of a stage; nil for the base model and for the present one.
    private func snapshot(_ stage: Stage) throws(LabError) -> AdapterSnapshot? {
        guard case .epoch(let number) = stage else { return nil }
        guard let trainer else { throw .noAdapter }
        guard let kept = trainer.keptEpochs.last(where: { $0.epoch == number }) else { throw .epochNotKept(String(number), kept: trainer.keptEpochs.map(\.epoch)) }
        return kept.snapshot
    }

    /// Runs `body` with the adapter of a stage and those of files at a strength; the base model has neither.
    private func applying<R>(
        _ stage: Stage, _ snapshot: AdapterSnapshot?, _ strength: Strength, _ files: [(AdapterReference, AdapterNetwork)], _ body: () throws -> R
    ) throws -> R {
        defer { for (_, file) in files { file.detach() } }
        if stage != .base {
            for (reference, file) in files {
                file.setMultiplier(unet: reference.unet * strength.unet, textEncoder: reference.textEncoder * strength.textEncoder)
                file.attach()
            }
        }
        return try applying(stage, snapshot, strength, body)
    }

    private func applying<R>(_ stage: Stage, _ snapshot: AdapterSnapshot?, _ strength: Strength, _ body: () throws -> R) throws -> R {
        guard let network else { return try body() }
        let wasAttached = network.isAttached, present = network.snapshot()
        defer {
            if snapshot != nil { network.restore(present) }
            if wasAttached { network.attach() } else { network.detach() }
        }
        if stage == .base {
            network.detach()
            return try body()
        }
        if let snapshot { network.restore(snapshot) }
        network.attach()
        return try network.withMultiplier(unet: strength.unet, textEncoder: strength.textEncoder, body)
    }
}
