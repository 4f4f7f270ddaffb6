import Checkpoints
import Foundation

/// Writes a folder that appears whole or, on an error, not at all.
enum WholeFolder {
    /// - Parameters:
    ///   - folder: must not exist.
    ///   - body: fills the temporary folder beside it whose path it gets.
    /// - Throws: `ConfigurationError.unwritable` for what the file system refuses; errors of the files' own writers pass through.
    static func write(to folder: String, _ body: (String) throws -> Void) throws {
        let files = FileManager.default
        guard !files.fileExists(atPath: folder) else {
            throw ConfigurationError.unwritable(folder: folder, reason: "it exists already; choose another name or remove it first")
        }
        let partial = folder + ".partial-\(UUID().uuidString)"
        defer { try? files.removeItem(atPath: partial) }
        do {
            try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
            try body(partial)
            try files.moveItem(atPath: partial, toPath: folder)
        } catch let error as CocoaError {
            throw ConfigurationError.unwritable(folder: folder, reason: error.localizedDescription)
        }
    }
}
