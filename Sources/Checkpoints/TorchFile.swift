import TensorCore

/// A PyTorch checkpoint (.ckpt, .pt, .bin) in the zip form that `torch.save` writes since 1.6, read without executing anything of it.
///
/// The weights are those of the `state_dict` in it, or of the dictionary itself; they stay in the mapped file until they are asked for.
public final class TorchFile: WeightFile {
    public let location: String
    /// Whole numbers beside the weights, such as `global_step`.
    public let numbers: [String: Int]
    public let entries: [String: StoredEntry]
    private let file: MappedFile
    private let places: [String: Place]

    /// Where a tensor lies: bytes of the file, strides in elements.
    private struct Place {
        let type: StoredType, shape: [Int], strides: [Int], begin: Int, count: Int

        /// Whether the elements follow each other row by row.
        var isContiguous: Bool {
            if count == 0 { return true }
            var expected = 1
            for (length, stride) in zip(shape, strides).reversed() where length != 1 {
                if stride != expected { return false }
                expected *= length
            }
            return true
        }
    }

    public var files: [MappedFile] { [file] }

    /// - Throws: `CheckpointError` for a file that is cut short, not sound, or asks for anything but tensors.
    public init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        (numbers, places) = try file.withBytes { (bytes) throws(CheckpointError) in try Self.read(bytes, path) }
        entries = places.mapValues { StoredEntry(dtype: $0.type, shape: $0.shape) }
        (location, self.file) = (path, file)
    }

    private static func read(_ bytes: UnsafeRawBufferPointer, _ path: String) throws(CheckpointError) -> ([String: Int], [String: Place]) {
        let archive = try ZipArchive(bytes, file: path).ranges
        let pickles = archive.keys.filter { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }
        guard pickles.count == 1 else {
            throw .malformedArchive(file: path, reason: "it holds \(pickles.count) entries data.pkl, a PyTorch checkpoint has one")
        }
        let root = String(pickles[0].dropLast("data.pkl".count))
        if archive[root + "constants.pkl"] != nil {
            throw .malformedArchive(file: path, reason: "it is a TorchScript program, not a checkpoint")
        }
        if let order = archive[root + "byteorder"], !bytes[order].elementsEqual("little".utf8) {
            throw .malformedArchive(file: path, reason: "its numbers are stored with the most significant byte first")
        }
        var pickle = PickleReader(UnsafeRawBufferPointer(rebasing: bytes[archive[pickles[0]]!]), fileSize: bytes.count, file: path)
        let found = try stateDictionary(try pickle.read(), pickle, path)
        var places: [String: Place] = [:]
        for (key, index) in found.tensors {
            let tensor = pickle.tensors[index], storage = pickle.storages[tensor.storage]
            guard let range = archive["\(root)data/\(storage.key)"] else { throw .missingKey("\(root)data/\(storage.key)", file: path) }
            places[key] = try place(key, tensor, storage, in: range, path)
        }
        return (found.numbers, places)
    }

    /// The weights' dictionary, followed through `state_dict`, and whole numbers met on the way.
    private static func stateDictionary(
        _ value: PickleReader.Value, _ pickle: PickleReader, _ path: String
    ) throws(CheckpointError) -> (tensors: [String: Int], numbers: [String: Int]) {
        let deepest = 4
        var value = value, numbers: [String: Int] = [:]
        for _ in 0..<deepest {
            guard case .dictionary(let index) = value else { break }
            let dictionary = pickle.dictionaries[index]
            for case (let key, .int(let number)) in dictionary { numbers[key] = number }
            if let inner = dictionary["state_dict"] { value = inner; continue }
            return (dictionary.compactMapValues { if case .tensor(let index) = $0 { index } else { nil } }, numbers)
        }
        throw .malformedPickle(file: path, offset: 0, reason: "it holds no dictionary of tensors")
    }

    private static func place(
        _ key: String, _ tensor: PickleReader.TensorRecord, _ storage: PickleReader.Storage, in range: Range<Int>, _ path: String
    ) throws(CheckpointError) -> Place {
        let size = storage.type.bits / 8
        let (byteCount, isTooMuch) = storage.count.multipliedReportingOverflow(by: size)
        guard !isTooMuch, byteCount <= range.count else {
            throw .invalidEntry(key: key, expected: "\(storage.count) numbers of \(storage.type.rawValue)", found: "\(range.count) bytes", file: path)
        }
        let described = "shape \(tensor.shape), strides \(tensor.strides), offset \(tensor.offset)"
        func outside() -> CheckpointError {
            .invalidEntry(key: key, expected: "a tensor within its \(storage.count) numbers", found: described, file: path)
        }
        var last = tensor.offset, elements = 1
        for (length, stride) in zip(tensor.shape, tensor.strides) {
            let (count, overflow) = elements.multipliedReportingOverflow(by: length)
            let (reach, overflow2) = max(length - 1, 0).multipliedReportingOverflow(by: stride)
            let (end, overflow3) = last.addingReportingOverflow(reach)
            if overflow || overflow2 || overflow3 { throw outside() }
            (elements, last) = (count, end)
        }
        guard tensor.offset <= storage.count, elements == 0 || (last < storage.count && elements <= storage.count) else { throw outside() }
        return Place(
            type: storage.type, shape: tensor.shape, strides: tensor.strides, begin: range.lowerBound + tensor.offset * size, count: elements)
    }

    public func tensor(_ key: String, rows: Range<Int>?) throws(CheckpointError) -> Tensor {
        guard let place = places[key] else { throw .missingKey(key, file: location) }
        var shape = place.shape, begin = place.begin
        let size = place.type.bits / 8
        if let rows {
            guard let count = shape.first, rows.lowerBound >= 0, rows.upperBound <= count else {
                throw .shapeMismatch(key: key, expected: [rows.upperBound], found: shape, file: location)
            }
            begin += rows.lowerBound * place.strides[0] * size
            shape[0] = rows.count
        }
        let count = shape.reduce(1, *)
        if place.isContiguous { return try file.tensor(key, at: begin..<(begin + count * size), type: place.type, shape: shape) }
        return try gathered(key, begin: begin, shape: shape, place)
    }

    /// A copy of a tensor that does not lie row by row: a transposed matrix, for one.
    private func gathered(_ key: String, begin: Int, shape: [Int], _ place: Place) throws(CheckpointError) -> Tensor {
        let size = place.type.bits / 8, count = shape.reduce(1, *)
        return try file.withBytes { (all) throws(CheckpointError) in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count * size, alignment: 64)
            defer { copy.deallocate() }
            var index = [Int](repeating: 0, count: shape.count), source = begin
            for element in 0..<count {
                for byte in 0..<size { copy[element * size + byte] = all[source + byte] }
                for axis in shape.indices.reversed() {
                    index[axis] += 1
                    source += place.strides[axis] * size
                    if index[axis] < shape[axis] { break }
                    source -= shape[axis] * place.strides[axis] * size
                    index[axis] = 0
                }
            }
            let bytes = UnsafeRawBufferPointer(copy)
            guard let dtype = place.type.tensorType, [.f32, .f16, .bf16].contains(place.type) else {
                return try place.type.widened(bytes, key: key, shape: shape, file: location)
            }
            return Tensor(shape: shape, dtype: dtype, bytes: bytes)
        }
    }
}

/// Opens a file of weights for what it is.
public enum WeightFiles {
    /// - Returns: a `TorchFile` for a zip archive, otherwise a `SafetensorsFile`.
    /// - Throws: `CheckpointError`, which says what the file is when it is something else.
    public static func open(_ path: String) throws(CheckpointError) -> any WeightFile {
        let isArchive = try MappedFile(path: path).withBytes { (bytes) throws(CheckpointError) in bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) }
        return isArchive ? try TorchFile(path: path) : try SafetensorsFile(path: path)
    }
}
