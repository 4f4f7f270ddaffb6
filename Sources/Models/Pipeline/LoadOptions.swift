import Checkpoints
import TensorCore

extension BaseModel {
    /// How a base model is read.
    public struct LoadOptions {
        /// Converts matrices and kernels; nil keeps them as stored, which needs the least memory.
        public var precision: DType?
        /// Another autoencoder than the model's own: a diffusers folder or a single file.
        public var vae: String?
        /// Folder with vocab.json and merges.txt for a single file; nil looks beside the file and where `loralab fetch-vocabulary`
        /// puts them.
        public var tokenizer: String?
        /// What a single file's model predicts; nil goes by the file and its family.
        public var prediction: Prediction?
        /// A diffusers folder whose config.json files describe a single file's parts; nil derives them from the tensors.
        public var configuration: String?
        /// Told as tensors are read: how much of all bytes, 0...1, and of which part.
        public var progress: ((_ fraction: Double, _ part: String) -> Void)?

        public init(
            precision: DType? = nil, vae: String? = nil, tokenizer: String? = nil, prediction: Prediction? = nil, configuration: String? = nil,
            progress: ((_ fraction: Double, _ part: String) -> Void)? = nil
        ) {
            self.precision = precision
            self.vae = vae
            self.tokenizer = tokenizer
            self.prediction = prediction
            self.configuration = configuration
            self.progress = progress
        }
    }

    /// Reads a base model of Stable Diffusion 1, 2 or XL: a folder of diffusers' layout, or a single file in the original names
    /// (.safetensors, or PyTorch's .ckpt, of which nothing is executed).
    ///
    /// - Throws: `ModelFileError`, `ConfigurationError`, `CheckpointError`, `TokenizerError`, each naming its file.
    public static func load(path: String, options: LoadOptions = LoadOptions()) throws -> BaseModel {
        let model = isFolder(path) ? try load(folder: path, options) : try load(file: path, options)
        try model.requireUnchanged()        // as the numbers that were copied meanwhile
        return model
    }

    /// Reads a folder of diffusers' layout.
    public static func load(folder: String, precision: DType? = nil, vae: String? = nil) throws -> BaseModel {
        try load(path: folder, options: LoadOptions(precision: precision, vae: vae))
    }
}

/// Sees how much of a model's files has been read. The model is built on one thread, hence `@unchecked Sendable`.
final class LoadingProgress: @unchecked Sendable {
    private let report: ((Double, String) -> Void)?
    private var total = 0, done = 0

    init(_ options: BaseModel.LoadOptions) { report = options.progress }

    /// The same weights, watched; all parts are entered before the first tensor is read.
    func watched(_ file: any WeightFile, as part: String) -> any WeightFile {
        guard report != nil else { return file }
        total += file.entries.values.reduce(0) { $0 + $1.byteCount }
        return WatchedWeights(file) { [self] byteCount in
            done += byteCount
            report?(min(1, Double(done) / Double(max(total, 1))), part)
        }
    }
}

/// Weights that tell how many bytes have been read of them.
private final class WatchedWeights: WeightFile {
    var location: String { file.location }
    var files: [MappedFile] { file.files }
    let entries: [String: StoredEntry]
    private let file: any WeightFile
    private let read: @Sendable (Int) -> Void

    init(_ file: any WeightFile, _ read: @escaping @Sendable (Int) -> Void) {
        (self.file, self.read, entries) = (file, read, file.entries)
    }

    func tensor(_ key: String, rows: Range<Int>?) throws(CheckpointError) -> Tensor {
        defer { read(entries[key]?.byteCount ?? 0) }
        return try file.tensor(key, rows: rows)
    }

    func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        defer { read(entries[key]?.byteCount ?? 0) }
        return try file.tensor(key, shape: shape)
    }
}
