import TensorCore
import Text

/// A model in several files, with the table `*.safetensors.index.json` that says which tensor is where.
public final class ShardedSafetensors: WeightFile {
    public let location: String
    public let shards: [SafetensorsFile]
    private let shardOfKey: [String: SafetensorsFile]

    /// - Parameter path: the index file; the shards lie beside it.
    public init(index path: String) throws(CheckpointError) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        let fileOfKey = try Self.weightMap(path)
        var opened: [String: SafetensorsFile] = [:]
        for name in Set(fileOfKey.values).sorted() {
            // A plain name: an index must not reach outside of its folder.
            guard !name.isEmpty, !name.contains("/"), !name.contains("\0"), name != "..", name != "." else {
                throw .malformedIndex(file: path, reason: "expected a file name beside the index, found \(quoted(name))")
            }
            opened[name] = try SafetensorsFile(path: folder + name)
        }
        var shardOfKey: [String: SafetensorsFile] = [:]
        for (key, name) in fileOfKey {
            guard let shard = opened[name], shard.contains(key) else { throw .missingKey(key, file: folder + name) }
            shardOfKey[key] = shard
        }
        (self.location, self.shardOfKey) = (path, shardOfKey)
        shards = opened.sorted { $0.key < $1.key }.map(\.value)
    }

    public var files: [MappedFile] { shards.flatMap(\.files) }
    public var keys: [String] { shardOfKey.keys.sorted() }
    public func contains(_ key: String) -> Bool { shardOfKey[key] != nil }

    public var entries: [String: StoredEntry] {
        var entries: [String: StoredEntry] = [:]
        for (key, shard) in shardOfKey { entries[key] = try? shard.entry(key) }
        return entries
    }

    public func entry(_ key: String) throws(CheckpointError) -> StoredEntry { try shard(key).entry(key) }
    public func tensor(_ key: String, rows: Range<Int>?) throws(CheckpointError) -> Tensor { try shard(key).tensor(key, rows: rows) }

    private func shard(_ key: String) throws(CheckpointError) -> SafetensorsFile {
        guard let shard = shardOfKey[key] else { throw .missingKey(key, file: location) }
        return shard
    }

    private static func weightMap(_ path: String) throws(CheckpointError) -> [String: String] {
        let failing = { (failure: JSONError) in
            CheckpointError.malformedIndex(file: path, reason: "byte \(failure.offset): \(failure.description)")
        }
        var map: [String: String]?
        try MappedFile(path: path).withBytes { (bytes) throws(CheckpointError) in
            var reader = JSONReader.strict(bytes)
            try reader.object({ (reader, key) throws(CheckpointError) in
                guard key == "weight_map" else {
                    do throws(JSONError) { try reader.skipValue() } catch { throw failing(error) }
                    return
                }
                if map != nil { throw .duplicateKey(key, file: path) }
                var found: [String: String] = [:]
                try reader.object({ (reader, key) throws(CheckpointError) in
                    let file: String
                    do throws(JSONError) { file = try reader.string() } catch { throw failing(error) }
                    if found.updateValue(file, forKey: key) != nil { throw .duplicateKey(key, file: path) }
                }, failing: failing)
                map = found
            }, failing: failing)
            do throws(JSONError) { try reader.end() } catch { throw failing(error) }
        }
        guard let map else { throw .malformedIndex(file: path, reason: "it has no \"weight_map\"") }
        return map
    }
}
