import Text

/// The table at the start of a safetensors file, read and checked: a length, JSON, then the tensors' bytes without gaps.
///
/// Source: the format's description in the safetensors repository and the checks of its reference reader. Nothing in it is
/// believed: lengths against the file's size, products of shapes against overflow, byte ranges against each other.
struct SafetensorsHeader {
    struct Entry { var type: StoredType, shape: [Int], begin: Int, end: Int }

    /// The reference reader's limit, in bytes.
    static let maximumLength = 100_000_000
    /// More dimensions than any tensor and more notes than any file has. With these bounds a hostile header makes us keep at most
    /// about four times its own size.
    static let maximumRank = 8, maximumMetadata = 65_536

    private(set) var entries: [String: Entry] = [:]
    private(set) var metadata: [String: String] = [:]
    /// Where the tensors' bytes begin in the file.
    private(set) var dataOffset = 0

    init(_ bytes: UnsafeRawBufferPointer, file: String) throws(CheckpointError) {
        let length = try Self.length(bytes, file: file)
        dataOffset = 8 + length
        var reader = JSONReader.strict(UnsafeRawBufferPointer(rebasing: bytes[..<dataOffset]), at: 8)
        let failing = { (failure: JSONError) in
            CheckpointError.malformedHeader(file: file, offset: failure.offset, reason: failure.description)
        }
        var sawMetadata = false
        try reader.object({ (reader, key) throws(CheckpointError) in
            if key == "__metadata__" {
                if sawMetadata { throw .duplicateKey(key, file: file) }
                sawMetadata = true
                metadata = try Self.metadata(&reader, file: file)
            } else if entries.updateValue(try Self.entry(&reader, key: key, file: file), forKey: key) != nil {
                throw .duplicateKey(key, file: file)
            }
        }, failing: failing)
        do throws(JSONError) { try reader.end() } catch { throw failing(error) }
        try checkRanges(dataCount: bytes.count - dataOffset, file: file)
    }

    /// The header's length, once it is believable; otherwise the error says what the file is instead.
    private static func length(_ bytes: UnsafeRawBufferPointer, file: String) throws(CheckpointError) -> Int {
        let length = bytes.count >= 8 ? UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)) : 0
        guard bytes.count >= 9, bytes[8] == UInt8(ascii: "{"), length <= UInt64(maximumLength) else {
            if let kind = FileKind(bytes) { throw .notSafetensors(file: file, found: kind.name, wayOut: kind.wayOut) }
            if bytes.count < 10 { throw .truncated(file: file, expected: 10, found: UInt64(bytes.count)) }
            if length > UInt64(maximumLength) {
                throw .malformedHeader(file: file, offset: 0, reason: "a header of \(length) bytes, at most \(maximumLength) are allowed")
            }
            throw .malformedHeader(file: file, offset: 8, reason: "expected '{', found byte \(bytes[8])")
        }
        guard length <= UInt64(bytes.count - 8) else { throw .truncated(file: file, expected: 8 + length, found: UInt64(bytes.count)) }
        return Int(length)
    }

    private static func metadata(_ reader: inout JSONReader, file: String) throws(CheckpointError) -> [String: String] {
        var metadata: [String: String] = [:]
        try reader.object({ (reader, key) throws(CheckpointError) in
            let value: String
            do throws(JSONError) { value = try reader.string() } catch {
                throw .malformedHeader(file: file, offset: error.offset, reason: "metadata \(quoted(key)) must be text: \(error.description)")
            }
            if metadata.updateValue(value, forKey: key) != nil { throw .duplicateKey(key, file: file) }
            if metadata.count > maximumMetadata {
                throw .malformedHeader(file: file, offset: reader.offset, reason: "more than \(maximumMetadata) entries of metadata")
            }
        }, failing: { .malformedHeader(file: file, offset: $0.offset, reason: "metadata: \($0.description)") })
        return metadata
    }

    private static func entry(_ reader: inout JSONReader, key: String, file: String) throws(CheckpointError) -> Entry {
        var typeName: String?, shape: [Int]?, range: [Int]?
        let failing = { (failure: JSONError) in
            CheckpointError.malformedHeader(file: file, offset: failure.offset, reason: "tensor \(quoted(key)): \(failure.description)")
        }
        try reader.object({ (reader, field) throws(CheckpointError) in
            let isRepeated: Bool
            do throws(JSONError) {
                switch field {
                case "dtype": (isRepeated, typeName) = (typeName != nil, try reader.string())
                case "shape": (isRepeated, shape) = (shape != nil, try reader.wholeNumbers(atMost: maximumRank))
                case "data_offsets": (isRepeated, range) = (range != nil, try reader.wholeNumbers(atMost: 2))
                default:
                    isRepeated = false
                    try reader.skipValue()
                }
            } catch { throw failing(error) }
            if isRepeated { throw .duplicateKey("\(key)/\(field)", file: file) }
        }, failing: failing)
        guard let typeName, let shape, let range, range.count == 2 else {
            throw .invalidEntry(key: key, expected: "dtype, shape and two data_offsets", found: "an entry without one of them", file: file)
        }
        guard let type = StoredType(rawValue: typeName) else { throw .unknownType(key: key, found: typeName, file: file) }
        return Entry(type: type, shape: shape, begin: range[0], end: range[1])
    }

    /// Every tensor has the bytes of its shape, and together they fill the file without overlap or hole.
    private func checkRanges(dataCount: Int, file: String) throws(CheckpointError) {
        var position = 0
        for (key, entry) in entries.sorted(by: { ($0.value.begin, $0.value.end) < ($1.value.begin, $1.value.end) }) {
            guard let count = entry.type.byteCount(entry.shape) else {
                throw .invalidEntry(key: key, expected: "a shape whose bytes can be counted", found: "\(entry.type.rawValue) \(entry.shape)", file: file)
            }
            guard entry.begin <= entry.end, entry.end - entry.begin == count else {
                throw .invalidEntry(
                    key: key, expected: "\(count) bytes for \(entry.type.rawValue) \(entry.shape)",
                    found: "data_offsets [\(entry.begin), \(entry.end)]", file: file)
            }
            guard entry.begin == position else {
                throw .invalidEntry(
                    key: key, expected: "data_offsets starting at \(position), where the tensor before it ends",
                    found: "\(entry.begin), \(entry.begin < position ? "an overlap" : "a hole")", file: file)
            }
            position = entry.end
        }
        if position > dataCount {
            throw .truncated(file: file, expected: UInt64(dataOffset) + UInt64(position), found: UInt64(dataOffset + dataCount))
        }
        if position < dataCount {
            throw .malformedHeader(file: file, offset: dataOffset + position, reason: "\(dataCount - position) bytes follow that belong to no tensor")
        }
    }
}
