import Glibc

/// Finds a component's weights in a folder of diffusers' or transformers' layout.
public enum WeightFolder {
    /// File names without suffix, in order of preference.
    private static let stems = ["diffusion_pytorch_model", "model", "diffusion_pytorch_model.fp16", "model.fp16"]

    /// Opens `diffusion_pytorch_model.safetensors`, `model.safetensors`, their `fp16` variants, or a sharded model's index; PyTorch's
    /// `.bin` where there is nothing else.
    /// - Throws: `unreadable` naming what was looked for.
    public static func open(_ folder: String) throws(CheckpointError) -> any WeightFile {
        for stem in stems {
            let file = "\(folder)/\(stem).safetensors"
            if access(file, F_OK) == 0 { return try SafetensorsFile(path: file) }
            if access(file + ".index.json", F_OK) == 0 { return try ShardedSafetensors(index: file + ".index.json") }
        }
        for name in ["diffusion_pytorch_model.bin", "pytorch_model.bin"] where access("\(folder)/\(name)", F_OK) == 0 {
            return try TorchFile(path: "\(folder)/\(name)")
        }
        throw .unreadable(file: folder, reason: "it holds none of " + stems.map { "\($0).safetensors" }.joined(separator: ", "))
    }
}
