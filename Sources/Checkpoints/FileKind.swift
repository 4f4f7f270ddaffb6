/// What a file is that was taken for a safetensors file, told by its first bytes.
struct FileKind: Equatable {
    let name: String
    let wayOut: String

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else {
            self.init(name: "an empty file", wayOut: "The download or copy failed: fetch the file again.")
            return
        }
        guard let row = Self.signatures.first(where: { bytes.starts(with: $0.start) }) else { return nil }
        self.init(name: row.name, wayOut: row.wayOut)
    }

    private init(name: String, wayOut: String) {
        (self.name, self.wayOut) = (name, wayOut)
    }

    private static let convert = "Convert it with a tool that you trust (it may run code when opened), and load the .safetensors file."
    private static let resave = "Save it anew with a current PyTorch, `torch.save(torch.load(OLD, weights_only=True), NEW)`, or get the .safetensors release."
    private static let picture = "Give the path of a .safetensors file; pictures belong into the dataset."
    private static let page = "A server answered with a page instead of the file (a login or an error): fetch it again in a browser or with a token."
    private static let other = "Give the path of a .safetensors file."

    private static let signatures: [(start: [UInt8], name: String, wayOut: String)] = [
        ([0x50, 0x4B, 0x03, 0x04], "a zip archive, most likely a PyTorch checkpoint (.ckpt, .pt, .bin)", convert),
        ([0x50, 0x4B, 0x05, 0x06], "an empty zip archive", other),
        ([0x80, 0x02], "a Python pickle, most likely a PyTorch checkpoint from before version 1.6", resave),
        ([0x80, 0x03], "a Python pickle", resave), ([0x80, 0x04], "a Python pickle", resave), ([0x80, 0x05], "a Python pickle", resave),
        (Array("GGUF".utf8), "a GGUF model", "Quantised GGUF models cannot be trained: get the .safetensors release of the same model."),
        (Array("version https://git-lfs".utf8), "a Git LFS pointer, a text that stands for the real file", "Run `git lfs pull` in its repository, or download the file itself."),
        ([0x89, 0x50, 0x4E, 0x47], "a PNG picture", picture), ([0xFF, 0xD8, 0xFF], "a JPEG picture", picture), (Array("RIFF".utf8), "a RIFF file (a WebP picture or a sound)", picture),
        (Array("<!DOCTYPE".utf8), "an HTML page", page), (Array("<!doctype".utf8), "an HTML page", page), (Array("<html".utf8), "an HTML page", page), (Array("<?xml".utf8), "an XML text", page),
        ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59], "a NumPy array", other), ([0x89, 0x48, 0x44, 0x46], "an HDF5 file", convert),
        ([0x1F, 0x8B], "a gzip archive", "Unpack it first."), ([0x37, 0x7A, 0xBC, 0xAF], "a 7z archive", "Unpack it first."),
        ([0x28, 0xB5, 0x2F, 0xFD], "a zstd archive", "Unpack it first."), ([0x7F, 0x45, 0x4C, 0x46], "a program", other),
        (Array("SQLite format 3".utf8), "an SQLite database", other), (Array("{".utf8), "a JSON text", "Give the path of the .safetensors file, not of its index or configuration."),
    ]
}
