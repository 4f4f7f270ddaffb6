/// The table of a zip archive whose entries are stored, not compressed: what PyTorch writes. Zip64 included.
///
/// Source: PKWARE's APPNOTE 6.3.10, §4.3 and §4.5.3. Nothing in it is believed: every offset is checked against the file, nothing is
/// unpacked.
struct ZipArchive {
    /// Where each entry's bytes lie in the file.
    private(set) var ranges: [String: Range<Int>] = [:]

    init(_ bytes: UnsafeRawBufferPointer, file: String) throws(CheckpointError) {
        let reader = LittleEndian(bytes: bytes, file: file)
        let directory = try Self.directory(reader)
        var position = directory.lowerBound
        while position < directory.upperBound {
            let entry = try Entry(reader, at: position)
            guard entry.end <= directory.upperBound else { throw reader.malformed("its directory is longer than it says") }
            position = entry.end
            if entry.name.hasSuffix("/") { continue }
            guard ranges.updateValue(try entry.range(reader), forKey: entry.name) == nil else { throw .duplicateKey(entry.name, file: file) }
        }
    }

    /// The table at the end of the archive.
    private static func directory(_ reader: LittleEndian) throws(CheckpointError) -> Range<Int> {
        let count = reader.bytes.count, shortest = 22, longestComment = 65_535
        var end = count - shortest
        while end >= max(0, count - shortest - longestComment) {
            if try reader.u32(end) == 0x0605_4B50, try reader.u16(end + 20) == count - end - shortest { break }
            end -= 1
        }
        guard end >= max(0, count - shortest - longestComment) else {
            throw .malformedArchive(file: reader.file, reason: "its directory, which ends the file, is missing: most likely the file is cut short")
        }
        var size = try reader.u32(end + 12), offset = try reader.u32(end + 16)
        let count16 = try reader.u16(end + 10)
        if size == 0xFFFF_FFFF || offset == 0xFFFF_FFFF || count16 == 0xFFFF {
            guard end >= 20, try reader.u32(end - 20) == 0x0706_4B50 else { throw reader.malformed("its zip64 directory is missing") }
            let record = try reader.u64(end - 12)
            guard try reader.u32(record) == 0x0606_4B50 else { throw reader.malformed("its zip64 directory is not where it should be") }
            (size, offset) = (try reader.u64(record + 40), try reader.u64(record + 48))
        }
        guard offset <= end, size <= end - offset else { throw reader.malformed("its directory lies outside of the file") }
        return offset..<(offset + size)
    }

    /// A row of the directory.
    private struct Entry {
        let name: String
        let isStored: Bool
        let end: Int
        private let size: Int, header: Int

        init(_ reader: LittleEndian, at position: Int) throws(CheckpointError) {
            guard try reader.u32(position) == 0x0201_4B50 else { throw reader.malformed("an entry of its directory is broken at byte \(position)") }
            let nameCount = try reader.u16(position + 28), extraCount = try reader.u16(position + 30)
            let nameStart = position + 46, extra = nameStart + nameCount
            end = extra + extraCount + (try reader.u16(position + 32))
            name = try reader.text(nameStart, count: nameCount)
            let isEncrypted = try reader.u16(position + 8) & 1 == 1
            var packed = try reader.u32(position + 20), size = try reader.u32(position + 24), header = try reader.u32(position + 42)
            if packed == 0xFFFF_FFFF || size == 0xFFFF_FFFF || header == 0xFFFF_FFFF {
                var field = try Self.zip64Field(reader, extra..<(extra + extraCount))
                func next(_ value: Int) throws(CheckpointError) -> Int {
                    guard value == 0xFFFF_FFFF else { return value }
                    defer { field += 8 }
                    return try reader.u64(field)
                }
                size = try next(size)
                packed = try next(packed)
                header = try next(header)
            }
            isStored = try reader.u16(position + 10) == 0 && packed == size && !isEncrypted
            (self.size, self.header) = (size, header)
        }

        private static func zip64Field(_ reader: LittleEndian, _ extra: Range<Int>) throws(CheckpointError) -> Int {
            var position = extra.lowerBound
            while position + 4 <= extra.upperBound {
                if try reader.u16(position) == 1 { return position + 4 }
                position += 4 + (try reader.u16(position + 2))
            }
            throw reader.malformed("a zip64 size is missing")
        }

        func range(_ reader: LittleEndian) throws(CheckpointError) -> Range<Int> {
            guard isStored else { throw reader.malformed("\(quoted(name)) is compressed or encrypted, which PyTorch's checkpoints never are") }
            guard try reader.u32(header) == 0x0403_4B50 else { throw reader.malformed("\(quoted(name)) is not where the directory says") }
            let start = header + 30 + (try reader.u16(header + 26)) + (try reader.u16(header + 28))
            guard start <= reader.bytes.count, size <= reader.bytes.count - start else {
                throw .truncated(file: reader.file, expected: UInt64(start) + UInt64(size), found: UInt64(reader.bytes.count))
            }
            return start..<(start + size)
        }
    }
}

/// Whole numbers at checked places of a file.
struct LittleEndian {
    let bytes: UnsafeRawBufferPointer
    let file: String

    func malformed(_ reason: String) -> CheckpointError { .malformedArchive(file: file, reason: reason) }

    func u16(_ offset: Int) throws(CheckpointError) -> Int { Int(try read(offset, as: UInt16.self)) }
    func u32(_ offset: Int) throws(CheckpointError) -> Int { Int(try read(offset, as: UInt32.self)) }

    func u64(_ offset: Int) throws(CheckpointError) -> Int {
        guard let value = Int(exactly: try read(offset, as: UInt64.self)) else { throw malformed("the number at byte \(offset) does not fit into 63 bits") }
        return value
    }

    func text(_ offset: Int, count: Int) throws(CheckpointError) -> String {
        guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else { throw malformed("a name lies outside of the file") }
        guard let text = String(validating: bytes[offset..<(offset + count)], as: UTF8.self) else { throw malformed("the name at byte \(offset) is not UTF-8") }
        return text
    }

    private func read<T: FixedWidthInteger>(_ offset: Int, as _: T.Type) throws(CheckpointError) -> T {
        guard offset >= 0, offset <= bytes.count - MemoryLayout<T>.size else { throw malformed("it points outside of the file, to byte \(offset)") }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
