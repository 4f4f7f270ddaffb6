import Kernel
import Models
import TensorCore

/// `%model`: loads a base model, or tells about the one that is loaded.
struct ModelMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "model", summary: "Loads the base model that a LoRA is trained on.",
        details: """
            Without a path, the embedded model is loaded, a small one that draws 3D icons. A path is a folder in diffusers' layout (`unet/`, `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/`), \
            or a single `.safetensors` or `.ckpt` file of Stable Diffusion 1, 2 or XL. Weights stay in the file until they are used. Of a `.ckpt` nothing is executed.
            """,
        positionals: [.init("path", .path(.file(["safetensors", "ckpt"])), "a folder in diffusers' layout, a .safetensors or .ckpt file, or `\(EmbeddedModel.name)`", isOptional: true)],
        options: [
            .init("vae", .path(.file(["safetensors", "ckpt"])), "Another autoencoder: a folder with config.json and weights, or a single file."),
            .init("v_prediction", aliases: ["v_parameterization"], .flag, "The model predicts velocities (2.x at 768 pixels, some XL fine-tunes); told by the files of most. --no-v_prediction: it predicts noise."),
            .init("tokenizer", .path(.folder), "A folder with vocab.json and merges.txt for a single file, instead of the one that `loralab fetch-vocabulary` gets."),
            .init("config", .path(.folder), "A diffusers folder whose config.json files describe a single file's parts, where its tensors do not tell."),
            .init("dtype", aliases: ["mixed_precision"], .choice(["float32", "float16", "bfloat16", "fp16", "bf16", "no"]), "How weights are stored in memory; as in the files when not given. Arithmetic is always float32."),
        ],
        examples: ["%model", "%model path/to/stable-diffusion-v1-5 --dtype bfloat16", "%model v1-5-pruned.safetensors --vae vae-ft-mse.safetensors"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("model", cell: cell.executionCount) {
                let path = call.string("path")
                let isBuiltin = path == nil || path == EmbeddedModel.name
                if path == nil, call.given.isEmpty, let model = session.model {
                    cell.display(DisplayData(table(model)))
                    return
                }
                let (model, dropped) = try load(isBuiltin ? nil : path, call, in: cell)
                cell.display(DisplayData(table(model)))
                for note in model.notes { cell.say(note) }
                if dropped { cell.say("The adapter belonged to the model before and was let go.") }
                if let dataset = session.dataset { cell.say("The dataset stays: \(dataset.location), at \(dataset.options.resolution) pixels.") }
            }
        }
    }

    private func load(_ path: String?, _ call: MagicCall, in cell: CellContext) throws -> (model: LoadedModel, droppedAdapter: Bool) {
        let progress = LiveDisplay(cell, "loading", after: 0.5)
        var options = BaseModel.LoadOptions(
            precision: Self.precision(call.string("dtype")), vae: call.string("vae"), tokenizer: call.string("tokenizer"), configuration: call.string("config"))
        if call.isGiven("v_prediction") { options.prediction = call.isSet("v_prediction") ? .velocity : .epsilon }
        options.progress = { fraction, part in
            progress.show { DisplayData(plain: "reading the \(part): \(Int(fraction * 100)) %") }
        }
        return try session.loadModel(path, options: options)
    }

    private static func precision(_ name: String?) -> DType? {
        switch name {
        case "float32", "no": .float32
        case "float16", "fp16": .float16
        case "bfloat16", "bf16": .bfloat16
        default: nil
        }
    }

    private func table(_ model: LoadedModel) -> TextTable {
        var rows = [["family", model.family], ["draws", "\(model.nativeSide)×\(model.nativeSide) pixels"]]
        rows += model.sizes.map { [$0.name, "\(Words.grouped($0.parameters)) parameters"] }
        if model.captioner == nil { rows.append(["captioner", "none"]) }
        rows.append(["memory", "\(Words.bytes(model.byteCount)) for \(Words.grouped(model.parameterCount)) parameters"])
        rows.append(["read from", model.isEmbedded ? "the model that ships with LoRALab" : model.location])
        return TextTable(header: ["model", model.diffusion.name], rows: rows)
    }
}
