import Foundation

/// Whether there is a folder of this name.
func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}

/// Reads and writes the libraries' JSON files.
public enum ConfigurationFile {
    /// - Throws: `ConfigurationError` with the file's path and the key at fault.
    public static func read<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value {
        let data: Data
        do { data = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            let exists = FileManager.default.fileExists(atPath: path)
            throw ConfigurationError.unreadable(file: path, reason: exists ? "it cannot be opened" : "there is no such file")
        }
        do { return try JSONDecoder().decode(type, from: data) } catch let error as DecodingError {
            throw ConfigurationError.malformed(file: path, reason: reason(error))
        }
    }

    /// Writes keys sorted, as the libraries do, with their `_class_name` where they have one.
    public static func write<Value: Encodable>(_ value: Value, className: String? = nil, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(Named(value: value, className: className))
        try data.write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    private struct Named<Value: Encodable>: Encodable {
        let value: Value
        let className: String?
        func encode(to encoder: any Encoder) throws {
            try value.encode(to: encoder)
            if let className {
                var container = encoder.container(keyedBy: AnyKey.self)
                try container.encode(className, forKey: AnyKey("_class_name"))
            }
        }
    }

    private static func reason(_ error: DecodingError) -> String {
        func key(_ context: DecodingError.Context) -> String {
            context.codingPath.isEmpty ? "the top level" : context.codingPath.map(\.stringValue).joined(separator: ".")
        }
        switch error {
        case .typeMismatch(let type, let context): return "\(key(context)) is not of type \(type)"
        case .valueNotFound(_, let context): return "\(key(context)) is null"
        case .keyNotFound(let missing, _): return "\(missing.stringValue) is missing"
        case .dataCorrupted(let context): return context.codingPath.isEmpty ? "it is not JSON" : "\(key(context)) holds an unknown value"
        @unknown default: return "it cannot be decoded"
        }
    }
}
