import TensorCore
import Text

/// A tensor of any element type, as bytes: what `SafetensorsWriter` stores beside the float tensors.
public struct StoredTensor: Sendable, Equatable {
    public let name: String, dtype: StoredType, shape: [Int], bytes: [UInt8]

    public init(name: String, dtype: StoredType, shape: [Int], bytes: [UInt8]) {
        precondition(dtype.byteCount(shape) == bytes.count, "\(dtype.rawValue) \(shape) does not have \(bytes.count) bytes")
        (self.name, self.dtype, self.shape, self.bytes) = (name, dtype, shape, bytes)
    }

    /// Integers as `I64`.
    public init(name: String, integers: [Int]) {
        self.init(
            name: name, dtype: .i64, shape: [integers.count],
            bytes: integers.flatMap { value in withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) } })
    }
}

/// Writes safetensors files byte for byte as the reference implementation does: tensors by element type (widest first),
/// then by name; `__metadata__` first (its keys sorted, so that the same content gives the same file).
public enum SafetensorsWriter {
    /// - Parameters:
    ///   - dtype: converts the float tensors on the way; nil keeps the precision of each.
    ///   - stored: further tensors of any element type, never converted.
    /// - Throws: `invalidName` for an empty or repeated name, `cannotWrite`. The file is then as it was before.
    public static func write(
        _ tensors: [(name: String, tensor: Tensor)], stored: [StoredTensor] = [], metadata: [String: String] = [:], to path: String, dtype: DType? = nil
    ) throws(CheckpointError) {
        let plan = try Plan(tensors, stored: stored, metadata: metadata, dtype: dtype, path: path)
        try AtomicFile.write(to: path) { (append) throws(CheckpointError) in try plan.emit(append) }
    }

    /// The bytes that `write` would put into the file.
    public static func data(
        _ tensors: [(name: String, tensor: Tensor)], stored: [StoredTensor] = [], metadata: [String: String] = [:], dtype: DType? = nil
    ) throws(CheckpointError) -> [UInt8] {
        let plan = try Plan(tensors, stored: stored, metadata: metadata, dtype: dtype, path: "memory")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(plan.header.count + plan.dataCount)
        try plan.emit { (chunk) throws(CheckpointError) in bytes.append(contentsOf: chunk) }
        return bytes
    }

    /// The hashes Kohya's scripts put into an adapter's metadata.
    ///
    /// - Parameter metadata: only its `ss_*` entries count, as there.
    /// - Returns: `model`, `sshs_model_hash`: SHA-256 of the tensors' bytes; `legacy`, `sshs_legacy_hash`: eight digits of the
    ///   SHA-256 of bytes 0x100000 ..< 0x110000 of the file with only the `ss_*` metadata.
    public static func hashes(
        _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String], dtype: DType? = nil
    ) throws(CheckpointError) -> (model: String, legacy: String) {
        let plan = try Plan(tensors, stored: [], metadata: metadata.filter { $0.key.hasPrefix("ss_") }, dtype: dtype, path: "memory")
        var model = SHA256(), legacy = SHA256()
        var position = 0
        try plan.emit { (chunk) throws(CheckpointError) in
            if position >= plan.header.count { model.update(chunk) }
            let begin = max(FileHash.legacyRange.lowerBound, position), end = min(FileHash.legacyRange.upperBound, position + chunk.count)
            if begin < end { legacy.update(UnsafeRawBufferPointer(rebasing: chunk[(begin - position)..<(end - position)])) }
            position += chunk.count
        }
        return (model.hexDigest(), String(legacy.hexDigest().prefix(8)))
    }
}

/// What goes into a file and in which order.
private struct Plan {
    struct Item {
        enum Content { case tensor(Tensor, DType), bytes([UInt8]) }
        let name: String, type: StoredType, shape: [Int], content: Content, count: Int
    }

    let items: [Item]
    let header: [UInt8]
    var dataCount: Int { items.reduce(0) { $0 + $1.count } }

    init(
        _ tensors: [(name: String, tensor: Tensor)], stored: [StoredTensor], metadata: [String: String], dtype: DType?, path: String
    ) throws(CheckpointError) {
        var items = tensors.map { name, tensor in
            let target = dtype ?? tensor.dtype
            return Item(
                name: name, type: StoredType(target), shape: tensor.shape, content: .tensor(tensor, target),
                count: tensor.count * target.byteSize)
        }
        items += stored.map { Item(name: $0.name, type: $0.dtype, shape: $0.shape, content: .bytes($0.bytes), count: $0.bytes.count) }
        var names: Set<String> = []
        for item in items {
            if item.name.isEmpty { throw .invalidName(item.name, reason: "the name is empty", file: path) }
            if item.name == "__metadata__" { throw .invalidName(item.name, reason: "the name is reserved", file: path) }
            if !names.insert(item.name).inserted { throw .invalidName(item.name, reason: "two tensors have this name", file: path) }
        }
        self.items = items.sorted { ($1.type.order, $0.name) < ($0.type.order, $1.name) }
        header = Self.header(self.items, metadata)
    }

    private static func header(_ items: [Item], _ metadata: [String: String]) -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(JSON.literal($0.key)):\(JSON.literal($0.value))" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var position = 0
        for item in items {
            let shape = item.shape.map(String.init).joined(separator: ",")
            members.append("\(JSON.literal(item.name)):{\"dtype\":\"\(item.type.rawValue)\",\"shape\":[\(shape)],\"data_offsets\":[\(position),\(position + item.count)]}")
            position += item.count
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        // The tensors' bytes start on a multiple of eight, so that they can be mapped.
        while text.count % 8 != 0 { text.append(0x20) }
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }

    /// The file from first byte to last, the header in one piece; one tensor at a time is in memory.
    func emit(_ append: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void) throws(CheckpointError) {
        try borrow(header, append)
        for item in items {
            switch item.content {
            case .bytes(let bytes): try borrow(bytes, append)
            case .tensor(let tensor, let dtype):
                let converted = tensor.dtype == dtype ? tensor : tensor.converted(to: dtype)
                let result = converted.withUnsafeBytes { bytes in Result { () throws(CheckpointError) in try append(bytes) } }
                try result.get()
            }
        }
    }

    private func borrow(_ bytes: [UInt8], _ append: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void) throws(CheckpointError) {
        let result = bytes.withUnsafeBytes { bytes in Result { () throws(CheckpointError) in try append(bytes) } }
        try result.get()
    }
}
