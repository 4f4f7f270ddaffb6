import CCUDA

/// Why a card cannot be opened: which library is missing and where it was looked for, which driver is too old, which card there is not.
public struct CUDAError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        case missingLibrary, oldDriver, noDevice, oldDevice, outOfMemory, other
    }

    public let kind: Kind
    /// What was tried and found, and the way out.
    public let description: String

    init(_ error: ccuda_error) {
        kind = switch error.kind {
        case CCUDA_MISSING_LIBRARY: .missingLibrary
        case CCUDA_OLD_DRIVER: .oldDriver
        case CCUDA_NO_DEVICE: .noDevice
        case CCUDA_OLD_DEVICE: .oldDevice
        case CCUDA_NO_MEMORY: .outOfMemory
        default: .other
        }
        description = error.message
    }
}

extension ccuda_error {
    var message: String {
        withUnsafeBytes(of: text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
