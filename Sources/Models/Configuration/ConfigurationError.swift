/// A model's configuration file cannot be read, or asks for something that is not built here.
public enum ConfigurationError: Error, Equatable, Sendable {
    case unreadable(file: String, reason: String)
    /// The file is not the JSON that was expected; `reason` names the key.
    case malformed(file: String, reason: String)
    case unsupported(key: String, value: String, supported: String)
    case invalid(key: String, value: String, expected: String)
    case unknownComponent(String, file: String, expected: String)
    case unwritable(folder: String, reason: String)
}

extension ConfigurationError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let file, let reason): "\(file) cannot be read: \(reason)"
        case .malformed(let file, let reason): "\(file) is not a valid configuration: \(reason)"
        case .unsupported(let key, let value, let supported):
            "the configuration asks for \(key) = \(value); supported: \(supported). The model needs a part that is not built here"
        case .invalid(let key, let value, let expected): "the configuration holds \(key) = \(value), expected \(expected)"
        case .unwritable(let folder, let reason): "\(folder) cannot be written: \(reason)"
        case .unknownComponent(let name, let file, let expected): "\(file) names the component \(name), expected \(expected)"
        }
    }
}
