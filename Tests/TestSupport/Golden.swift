import Checkpoints
import Foundation
import TensorCore

/// Values computed by the reference implementation: a safetensors file under Tests/Fixtures, made by the script beside it.
public struct Golden {
    public let file: SafetensorsFile

    /// - Parameter path: below Tests/Fixtures, such as `tensorcore/ops.safetensors`.
    public init(_ path: String) throws {
        file = try SafetensorsFile(path: Golden.path(path))
    }

    /// The tensor as it is stored.
    public subscript(_ key: String) -> Tensor { get throws { try file.tensor(key) } }

    public func contains(_ key: String) -> Bool { file.contains(key) }

    /// The absolute path of something under Tests/Fixtures.
    public static func path(_ relative: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/\(relative)").path
    }
}
