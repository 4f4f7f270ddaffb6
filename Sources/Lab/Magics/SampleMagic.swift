import Adapters
import Diffusion
import Foundation
import Imaging
import Kernel
import Training

/// `%sample`: draws pictures with the adapter as it stands, as it stood, and with other strengths.
struct SampleMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "sample", summary: "Draws pictures from prompts.",
        details: """
            `%sample PROMPT` draws one picture; `%%sample` takes one prompt a line, each with flags of its own if it has any. With `--epochs` or `--strength`, every prompt is drawn at each of them with the same noise, in a labelled grid. \
            In prompts, `(word:1.2)` and `(word)` weigh words more, `[word]` less, `BREAK` starts a new part, as in WebUI. \
            `0` or `base` is the base model without the adapter, `last` the adapter as it stands.
            """,
        positionals: [.init("prompt", .sentence, "what to draw", isOptional: true)],
        options: [
            .init("n", aliases: ["negative", "negative_prompt"], .sentence, "What the picture shall not show."),
            .init("w", aliases: ["width"], .integer(64...2048), "Width, pixels; the model's own when not given."),
            .init("h", aliases: ["height"], .integer(64...2048), "Height, pixels."),
            .init("d", aliases: ["seed"], .integer(0...Int(UInt32.max)), "Seed of the noise: same seed, same picture. Drawn when not given."),
            .init("l", aliases: ["scale", "cfg"], .number(.closed(0...100)), "Guidance: how strictly the prompt is followed; 1 is off."),
            .init("s", aliases: ["sample_steps"], .integer(1...1000), "Steps of the sampler."),
            .init("ss", aliases: ["sampler", "sample_sampler"], .choice(SamplerKind.spellings), "Sampler."),
            .init("epochs", .list(.text), "Stages to draw: epochs that were kept, base (or 0), last. For example 0,1,last."),
            .init("strength", aliases: ["multiplier"], .list(.number(.closed(-4...4))), "Strengths of the adapter; 1 is as trained. For example 0,0.5,1."),
            .init("unet", .number(.closed(-4...4)), "Strength in the UNet alone."),
            .init("te", .number(.closed(-4...4)), "Strength in the text encoder alone."),
            .init("lora", .path(.file(["safetensors"])), "An adapter file to draw with besides the present one (LoRA, LoCon, LoHa, LoKr, DyLoRA, DoRA): FILE, FILE:STRENGTH or FILE:UNET:TE. May be given several times.", isRepeatable: true),
            .init("prompts", aliases: ["sample_prompts"], .path(.file(["txt"])), "A file of prompts, one a line."),
            .init("save", .path(.folder), "Writes each picture as PNG into this folder, its settings inside."),
            .init("clip_skip", .integer(1...32), "Reads the text encoder's n-th layer from the end."),
            .init("rng", .choice(NoiseDevice.allCases.map(\.rawValue)), default: "cpu", "Whose random numbers the noise follows: PyTorch's on processors, or on NVIDIA cards as WebUI draws."),
        ],
        body: .lines,
        examples: ["%sample a red cube, isometric --d 7", "%sample a red cube --epochs 0,1,3 --strength 0.5,1", "%sample a red cube --lora style.safetensors:0.8 --lora other.safetensors:0.5:0", "%%sample --d 7\na red cube\na blue torus --n blurry --s 30"])

    func suggestions(for argument: String, of subcommand: String?) -> [String] {
        argument == "epochs" ? ["base"] + session.status.keptEpochs.map(String.init) + ["last"] : []
    }

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("sample", cell: cell.executionCount) {
                let plan = try plan(call, model: try session.requireModel())
                try plan.validate()
                let folder = call.string("save")
                try session.requireWritable(folder: folder)
                let (drawn, pictures) = try draw(plan, call, in: cell)
                try show(drawn, pictures, in: cell)
                if let folder { try save(pictures, of: drawn, in: folder, cell) }
            }
        }
    }

    // MARK: What to draw

    private func plan(_ call: MagicCall, model: LoadedModel) throws -> SamplePlan {
        let defaults = try promptDefaults(call, model: model)
        var prompts: [SamplePrompt] = []
        if let text = call.string("prompt"), !text.isEmpty {
            var prompt = defaults
            prompt.text = text
            prompts.append(prompt)
        }
        if let path = call.string("prompts") { prompts += try SamplePrompt.parse(lines: Session.text(of: path), defaults: defaults) }
        if let body = call.body { prompts += try SamplePrompt.parse(lines: body, defaults: defaults) }
        let stages = call.isGiven("epochs") ? try call.strings("epochs").map { text throws(LabError) in try Stage(text) } : [.current]
        var plan = SamplePlan(prompts, stages: stages, strengths: strengths(call))
        plan.adapters = try call.strings("lora").map { text throws(AdapterError) in try AdapterReference(text) }
        return plan
    }

    private func promptDefaults(_ call: MagicCall, model: LoadedModel) throws -> SamplePrompt {
        var prompt = session.samplePromptDefaults(for: model)
        let multiple = model.diffusion.latentScale
        prompt.negative = call.string("n") ?? ""
        prompt.width = call.integer("w").map { max(multiple, $0 / multiple * multiple) } ?? prompt.width
        prompt.height = call.integer("h").map { max(multiple, $0 / multiple * multiple) } ?? prompt.height
        prompt.seed = call.integer("d").map { UInt64($0) }
        prompt.guidanceScale = call.number("l").map { Float($0) } ?? prompt.guidanceScale
        prompt.steps = call.integer("s") ?? prompt.steps
        if let name = call.string("ss") { prompt.sampler = try SamplerKind(named: name) }
        prompt.rng = call.string("rng").flatMap { NoiseDevice(rawValue: $0) }
        return prompt
    }

    private func strengths(_ call: MagicCall) -> [Strength] {
        let unet = call.number("unet").map { Float($0) }, te = call.number("te").map { Float($0) }
        let overall = call.isGiven("strength") ? call.numbers("strength").map { Float($0) } : [1]
        return overall.map { Strength(unet: unet ?? $0, textEncoder: te ?? $0) }
    }

    // MARK: Drawing and showing

    private func draw(_ plan: SamplePlan, _ call: MagicCall, in cell: CellContext) throws -> (plan: SamplePlan, pictures: [SamplePlan.Cell: GeneratedImage]) {
        let progress = LiveDisplay(cell, "drawing")
        let result = try session.draw(plan, clipSkip: call.integer("clip_skip")) { done, total in
            progress.show(always: done == total) { DisplayData(plain: "drawing \(Words.count(plan.count, "picture")): \(done * 100 / max(total, 1)) %") }
            try cell.checkInterrupted()
        }
        return result
    }

    private func show(_ plan: SamplePlan, _ pictures: [SamplePlan.Cell: GeneratedImage], in cell: CellContext) throws {
        if plan.count == 1, let (at, image) = pictures.first {
            cell.display(try DisplayData(picture: image.pixels, plain: Self.settings(image.prompt), text: text(image, at, plan)))
            return
        }
        cell.display(try SampleGrid(plan: plan, pictures: pictures.mapValues(\.pixels)).display())
    }

    /// WebUI's line of settings, which other programs read back.
    private static func settings(_ prompt: SamplePrompt) -> String {
        let negative = prompt.negative.isEmpty ? "" : "\nNegative prompt: \(prompt.negative)"
        return "\(prompt.text)\(negative)\nSteps: \(prompt.steps), Sampler: \(prompt.sampler?.title ?? "Euler a"), CFG scale: \(Words.fixed(Double(prompt.guidanceScale), 1)), "
            + "Seed: \(prompt.seed.map(String.init) ?? "random"), Size: \(prompt.width)x\(prompt.height)\(prompt.rng == .nvidia ? ", RNG: NV" : "")"
    }

    /// The PNG's text chunks: WebUI's `parameters`, and what it has no word for.
    private func text(_ image: GeneratedImage, _ at: SamplePlan.Cell, _ plan: SamplePlan) -> [(key: String, value: String)] {
        let stage = plan.stages[at.stage], strength = plan.strengths[at.strength]
        var adapter = stage == .base || session.network == nil ? "none" : "\(session.trainer?.configuration.outputName ?? "loaded"), \(stage.label), \(strength.label)"
        if let trainer = session.trainer, stage == .current { adapter += ", step \(trainer.position.step)" }
        if stage != .base {
            for file in plan.adapters { adapter += "; \(file.path) (unet \(file.unet), te \(file.textEncoder))" }
        }
        return [
            (key: "parameters", value: Self.settings(image.prompt)), (key: "Software", value: "LoRALab"), (key: "Model", value: session.model?.diffusion.name ?? ""),
            (key: "Adapter", value: adapter),
        ]
    }

    private func save(_ pictures: [SamplePlan.Cell: GeneratedImage], of plan: SamplePlan, in folder: String, _ cell: CellContext) throws {
        for at in plan.cells {
            guard let image = pictures[at] else { continue }
            try PNG.write(image.pixels, to: "\(folder)/\(Self.name(at, image, plan))", text: text(image, at, plan))
        }
        cell.say("Wrote \(Words.count(pictures.count, "picture")) to \(folder).")
    }

    /// `03_epoch-1_strength-0.5_seed-7.png`: what differs from picture to picture.
    private static func name(_ at: SamplePlan.Cell, _ image: GeneratedImage, _ plan: SamplePlan) -> String {
        let number = String(at.prompt + 1)
        var parts = [String(repeating: "0", count: max(0, 2 - number.count)) + number]
        if plan.stages != [.current] { parts.append(plan.stages[at.stage].label) }
        if plan.strengths.count > 1 { parts.append(plan.strengths[at.strength].label) }
        if let seed = image.prompt.seed { parts.append("seed-\(seed)") }
        return parts.map { $0.replacing(" ", with: "-").replacing(",", with: "") }.joined(separator: "_") + ".png"
    }
}
