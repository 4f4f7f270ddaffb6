import TensorCore

/// A safetensors file, opened and checked; its tensors are read one by one on demand.
public final class SafetensorsFile: WeightFile {
    public let location: String
    /// What the writer noted about the file: Kohya's `ss_*`, `modelspec.*` …
    public let metadata: [String: String]
    private let file: MappedFile
    private let header: [String: SafetensorsHeader.Entry]
    private let dataOffset: Int
    private let copiesTensors: Bool

    /// - Parameter copiesTensors: makes every tensor a copy of its own, which later changes of the file do not reach: for adapters, states
    ///   and what else is small. Large float tensors otherwise stay in the mapped file.
    /// - Throws: `CheckpointError` for a file that cannot be read, is something else, is cut short, or whose header is not sound.
    public init(path: String, copiesTensors: Bool = false) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        let header = try file.withBytes { (bytes) throws(CheckpointError) in try SafetensorsHeader(bytes, file: path) }
        (self.location, self.file, self.metadata) = (path, file, header.metadata)
        (self.header, self.dataOffset, self.copiesTensors) = (header.entries, header.dataOffset, copiesTensors)
    }

    public var files: [MappedFile] { [file] }

    public var entries: [String: StoredEntry] { header.mapValues { StoredEntry(dtype: $0.type, shape: $0.shape) } }
    public var keys: [String] { header.keys.sorted() }
    public func contains(_ key: String) -> Bool { header[key] != nil }

    public func entry(_ key: String) throws(CheckpointError) -> StoredEntry {
        let found = try find(key)
        return StoredEntry(dtype: found.type, shape: found.shape)
    }

    public func tensor(_ key: String, rows: Range<Int>?) throws(CheckpointError) -> Tensor {
        let found = try find(key)
        var shape = found.shape, begin = dataOffset + found.begin, end = dataOffset + found.end
        if let rows {
            guard let count = shape.first, rows.lowerBound >= 0, rows.upperBound <= count else {
                throw .shapeMismatch(key: key, expected: [rows.upperBound], found: shape, file: location)
            }
            let row = count == 0 ? 0 : (end - begin) / count
            (begin, end) = (begin + rows.lowerBound * row, begin + rows.upperBound * row)
            shape[0] = rows.count
        }
        return try file.tensor(key, at: begin..<end, type: found.type, shape: shape, isCopied: copiesTensors)
    }

    /// The values of an integer or Boolean tensor, row-major: step counters, alphas that were saved as integers …
    public func integers(_ key: String) throws(CheckpointError) -> [Int] {
        let found = try find(key)
        return try bytes(found) { (bytes) throws(CheckpointError) in
            switch found.type {
            case .i64: read(bytes, Int64.self)
            case .u64: read(bytes, UInt64.self)
            case .i32: read(bytes, Int32.self)
            case .u32: read(bytes, UInt32.self)
            case .i16: read(bytes, Int16.self)
            case .u16: read(bytes, UInt16.self)
            case .i8: read(bytes, Int8.self)
            case .u8, .bool: read(bytes, UInt8.self)
            default: throw .notInteger(key: key, found: found.type.rawValue, file: location)
            }
        }
    }

    /// A tensor's bytes as they are stored.
    public func withBytes<R>(_ key: String, _ body: (UnsafeRawBufferPointer) -> R) throws(CheckpointError) -> R {
        try bytes(try find(key)) { (bytes) throws(CheckpointError) in body(bytes) }
    }

    private func find(_ key: String) throws(CheckpointError) -> SafetensorsHeader.Entry {
        guard let found = header[key] else { throw .missingKey(key, file: location) }
        return found
    }

    private func bytes<R>(
        _ entry: SafetensorsHeader.Entry, _ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> R
    ) throws(CheckpointError) -> R {
        try file.withBytes { (all) throws(CheckpointError) in
            try body(UnsafeRawBufferPointer(rebasing: all[(dataOffset + entry.begin)..<(dataOffset + entry.end)]))
        }
    }
}

/// Values beyond `Int.max` (only possible for `U64`) keep their bits.
private func read<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, _: T.Type) -> [Int] {
    let size = MemoryLayout<T>.size
    return (0..<bytes.count / size).map { Int(truncatingIfNeeded: T(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * size, as: T.self))) }
}
