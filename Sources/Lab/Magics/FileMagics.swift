import Kernel
import Training

/// `%save`: writes the adapter.
struct SaveMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "save", summary: "Writes the adapter as safetensors, for WebUI, ComfyUI and diffusers.",
        details: "Kohya's tensor names and metadata. The file is written whole or not at all.",
        positionals: [.init("path", .path(.file(["safetensors"])), "the file, or a folder to put it into")],
        options: [
            .init("epoch", .integer(1...100_000), "An epoch that was kept, instead of the present state."),
            .init("save_precision", aliases: ["precision"], .choice(SavePrecision.allCases.map(\.rawValue)), "Precision of the numbers; the run's own (fp16) when not given."),
        ],
        examples: ["%save mystyle.safetensors", "%save mystyle-early.safetensors --epoch 2"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("save", cell: cell.executionCount) {
                let stage = call.integer("epoch").map(Stage.epoch) ?? .current
                let saved = try session.saveAdapter(
                    to: call.string("path") ?? "", stage: stage, precision: call.string("save_precision").flatMap { SavePrecision(rawValue: $0) })
                let metadata = saved.metadata
                let rows = [
                    ["file", saved.path], ["size", Words.bytes(saved.bytes)], ["tensors", Words.grouped(saved.keys)],
                    ["rank, alpha", "\(metadata["ss_network_dim"] ?? "?"), \(metadata["ss_network_alpha"] ?? "?")"],
                    ["trained", "\(metadata["ss_steps"] ?? "0") steps, epoch \(metadata["ss_epoch"] ?? "0")"], ["metadata", "\(metadata.count) entries"],
                ]
                cell.display(DisplayData(TextTable(header: ["saved", ""], rows: rows)))
            }
        }
    }
}

/// `%load`: reads an adapter.
struct LoadMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "load", summary: "Reads an adapter (Kohya's, LyCORIS' or PEFT's safetensors) in place of the present one.",
        details: "`%sample` draws with it, `%train` goes on from it.",
        positionals: [.init("path", .path(.file(["safetensors"])), "the file")], examples: ["%load mystyle.safetensors"])

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            try session.exclusively("load", cell: cell.executionCount) {
                let (network, metadata) = try session.loadAdapter(call.string("path") ?? "")
                var rows = [
                    ["file", call.string("path") ?? ""], ["kind", Words.kinds(network)], ["size", Words.size(network)],
                    ["layers", "\(network.adapters.count) (\(network.adapters(ofUNet: true).count) UNet, \(network.adapters(ofUNet: false).count) text encoder)"],
                    ["parameters", Words.grouped(network.parameterCount)],
                ]
                for (key, words) in [("ss_output_name", "name"), ("ss_sd_model_name", "trained on"), ("ss_steps", "steps"), ("ss_learning_rate", "learning rate")] {
                    if let value = metadata[key] { rows.append([words, value]) }
                }
                cell.display(DisplayData(TextTable(header: ["loaded", ""], rows: rows)))
            }
        }
    }
}

/// `%status`: what the session holds.
struct StatusMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "status", summary: "Tells what is loaded, trained, kept and saved.", examples: ["%status"], runsAlongside: true)

    /// The type under which programs find the same as JSON.
    static let mimeType = "application/vnd.loralab.status+json"

    func run(_ call: MagicCall, in cell: CellContext) throws {
        let status = session.status, table = status.table(work: session.work)
        cell.display(DisplayData(plain: table.plain, html: table.html, further: [Self.mimeType: status.json]))
    }
}
