import TensorCore

/// A safetensors file, opened and checked; its tensors are copied out one by one on demand.
public final class SafetensorsFile: WeightSource {
    public struct Entry: Sendable, Equatable { public let dtype: StoredType, shape: [Int] }

    public let location: String
    /// What the writer noted about the file: Kohya's `ss_*`, `modelspec.*` …
    public let metadata: [String: String]
    private let file: MappedFile
    private let header: [String: SafetensorsHeader.Entry]
    private let dataOffset: Int

    /// - Throws: `CheckpointError` for a file that cannot be read, is something else, is cut short, or whose header is not sound.
    public init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        let header = try file.withBytes { (bytes) throws(CheckpointError) in try SafetensorsHeader(bytes, file: path) }
        (self.location, self.file, self.metadata) = (path, file, header.metadata)
        (self.header, self.dataOffset) = (header.entries, header.dataOffset)
    }

    public var keys: [String] { header.keys.sorted() }
    public var entries: [String: Entry] { header.mapValues { Entry(dtype: $0.type, shape: $0.shape) } }
    public func contains(_ key: String) -> Bool { header[key] != nil }

    /// The element type and shape of one tensor.
    public func entry(_ key: String) throws(CheckpointError) -> Entry {
        let found = try find(key)
        return Entry(dtype: found.type, shape: found.shape)
    }

    public func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        let found = try find(key)
        guard found.shape == shape else { throw .shapeMismatch(key: key, expected: shape, found: found.shape, file: location) }
        return try tensor(key)
    }

    /// The tensor in whatever shape it is stored.
    public func tensor(_ key: String) throws(CheckpointError) -> Tensor {
        let found = try find(key)
        return try bytes(found) { (bytes) throws(CheckpointError) in
            switch found.type {
            case .f32, .f16, .bf16: Tensor(shape: found.shape, dtype: found.type.tensorType!, bytes: bytes)
            case .f64: Tensor((0..<bytes.count / 8).map { Float(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self)) }, shape: found.shape)
            case .f8e5m2: half(bytes, shape: found.shape) { UInt16($0) << 8 }
            case .f8e4m3: half(bytes, shape: found.shape, bits: halfBits(e4m3:))
            default: throw .notFloatingPoint(key: key, found: found.type.rawValue, file: location)
            }
        }
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

private func half(_ bytes: UnsafeRawBufferPointer, shape: [Int], bits: (UInt8) -> UInt16) -> Tensor {
    bytes.map(bits).withUnsafeBytes { Tensor(shape: shape, dtype: .float16, bytes: $0) }
}

/// float16 bits of an 8-bit float with 4 exponent bits (bias 7) and 3 of mantissa, without infinities: arXiv:2209.05433, table 1.
func halfBits(e4m3 byte: UInt8) -> UInt16 {
    let sign = UInt16(byte & 0x80) << 8, exponent = Int(byte >> 3) & 15, mantissa = UInt16(byte & 7)
    if exponent == 15, mantissa == 7 { return sign | 0x7E00 }
    if exponent > 0 { return sign | UInt16(exponent + 8) << 10 | mantissa << 7 }
    if mantissa == 0 { return sign }
    // Subnormal, mantissa · 2⁻⁹: normal in float16 once the leading one is shifted out.
    let shift = mantissa.leadingZeroBitCount - 13
    return sign | UInt16(8 - shift) << 10 | ((mantissa << UInt16(shift + 1)) & 7) << 7
}
