import Kernel
import TensorCore

/// `%model`: loads a base model, or tells about the one that is loaded.
struct ModelMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "model", summary: "Loads the base model that a LoRA is trained on.",
        details: "Without a path, the embedded model is loaded, a small one that draws 3D icons. A path is a folder in diffusers' layout (`unet/`, `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/`).",
        positionals: [.init("path", .path(.folder), "a folder in diffusers' layout, or `\(EmbeddedModel.name)`", isOptional: true)],
        options: [
            .init("vae", .path(.folder), "Another autoencoder: a folder with config.json and weights."),
            .init("dtype", aliases: ["mixed_precision"], .choice(["float32", "float16", "bfloat16", "fp16", "bf16", "no"]), "How weights are stored in memory; as in the files when not given. Arithmetic is always float32."),
        ],
        examples: ["%model", "%model path/to/stable-diffusion-v1-5 --dtype bfloat16"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("model", cell: cell.executionCount) {
                let path = call.string("path")
                let isBuiltin = path == nil || path == EmbeddedModel.name
                if path == nil, call.given.isEmpty, let model = session.model {
                    cell.display(DisplayData(table(model)))
                    return
                }
                let (model, dropped) = try session.loadModel(isBuiltin ? nil : path, autoencoder: call.string("vae"), precision: Self.precision(call.string("dtype")))
                cell.display(DisplayData(table(model)))
                if dropped { cell.say("The adapter belonged to the model before and was let go.") }
                if let dataset = session.dataset { cell.say("The dataset stays: \(dataset.location), at \(dataset.options.resolution) pixels.") }
            }
        }
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
