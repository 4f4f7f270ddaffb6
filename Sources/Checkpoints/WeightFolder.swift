import Glibc

/// Finds a component's weights in a folder of diffusers' or transformers' layout.
public enum WeightFolder {
    private static let stems = ["diffusion_pytorch_model", "model"]
    /// Weights of another precision beside the plain ones carry its name.
    private static let variant = "fp16"

    /// Opens `diffusion_pytorch_model.safetensors`, `model.safetensors`, their `fp16` variants, or a sharded model's index; PyTorch's
    /// `.bin` where there is nothing else.
    /// - Throws: `unreadable` naming what was looked for.
    public static func open(_ folder: String) throws(CheckpointError) -> any WeightFile {
        let names = stems.map { ["\($0).safetensors", "\($0).safetensors.index.json"] }
            + stems.map { ["\($0).\(variant).safetensors", "\($0).safetensors.index.\(variant).json"] }
        for (file, index) in names.map({ ("\(folder)/\($0[0])", "\(folder)/\($0[1])") }) {
            if access(file, F_OK) == 0 { return try SafetensorsFile(path: file) }
            if access(index, F_OK) == 0 { return try ShardedSafetensors(index: index) }
        }
        for name in ["diffusion_pytorch_model.bin", "pytorch_model.bin"] where access("\(folder)/\(name)", F_OK) == 0 {
            return try TorchFile(path: "\(folder)/\(name)")
        }
        throw .unreadable(file: folder, reason: "it holds none of " + names.map { $0[0] }.joined(separator: ", "))
    }
}
