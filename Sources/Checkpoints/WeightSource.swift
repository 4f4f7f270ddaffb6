import TensorCore

/// Where a model's weights come from: a file, a folder of shards, or fresh initial values.
public protocol WeightSource: AnyObject, Sendable {
    /// What to call the source in messages: a path, or a description.
    var location: String { get }
    /// The files in which its tensors may still lie.
    var files: [MappedFile] { get }
    /// The names of all tensors, sorted.
    var keys: [String] { get }
    func contains(_ key: String) -> Bool
    /// The tensor in its stored precision; `F64` comes as float32, 8-bit floats come as float16.
    /// - Throws: `missingKey`, `shapeMismatch`, `notFloatingPoint`, `truncated`.
    func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor
}

/// A stored tensor's element type and shape.
public struct StoredEntry: Sendable, Equatable {
    public let dtype: StoredType, shape: [Int]

    public init(dtype: StoredType, shape: [Int]) {
        self.dtype = dtype
        self.shape = shape
    }

    /// Bytes in the file.
    public var byteCount: Int { dtype.byteCount(shape) ?? 0 }
}

/// A source whose tensors can be looked at before they are read.
public protocol WeightFile: WeightSource {
    var entries: [String: StoredEntry] { get }
    /// The tensor, or some of its first axis, in its stored precision and whatever shape it has.
    ///
    /// Float32, float16 and bfloat16 of some size stay in the mapped file, so that a model takes no more memory than its file.
    func tensor(_ key: String, rows: Range<Int>?) throws(CheckpointError) -> Tensor
}

extension WeightSource {
    /// Requires that no file of the source has changed since it was opened.
    /// - Throws: `CheckpointError.changed`.
    public func requireUnchanged() throws(CheckpointError) {
        for file in files { try file.requireUnchanged() }
    }
}

extension WeightFile {
    public var keys: [String] { entries.keys.sorted() }
    public func contains(_ key: String) -> Bool { entries[key] != nil }
    public func tensor(_ key: String) throws(CheckpointError) -> Tensor { try tensor(key, rows: nil) }

    public func entry(_ key: String) throws(CheckpointError) -> StoredEntry {
        guard let entry = entries[key] else { throw .missingKey(key, file: location) }
        return entry
    }

    public func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        let found = try entry(key).shape
        guard found == shape else { throw .shapeMismatch(key: key, expected: shape, found: found, file: location) }
        return try tensor(key, rows: nil)
    }
}
