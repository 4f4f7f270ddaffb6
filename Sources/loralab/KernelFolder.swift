import Foundation
import Kernel

/// What a command could not do, in a sentence for the person who typed it.
struct CommandError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The folder `share/jupyter/kernels/NAME` through which Jupyter finds the kernel: kernel.json and logos.
struct KernelFolder {
    var name: String
    var displayName: String?

    /// Where kernelspecs are looked for, as Jupyter's `jupyter --paths` orders them.
    enum Place {
        case user
        case prefix(String)

        /// The folder that holds one folder per kernel.
        var kernels: URL {
            let environment = ProcessInfo.processInfo.environment
            switch self {
            case .prefix(let prefix):
                return URL(fileURLWithPath: prefix).appendingPathComponent("share/jupyter/kernels")
            case .user:
                if let data = environment["JUPYTER_DATA_DIR"] { return URL(fileURLWithPath: data).appendingPathComponent("kernels") }
                let share = environment["XDG_DATA_HOME"] ?? NSHomeDirectory() + "/.local/share"
                return URL(fileURLWithPath: share).appendingPathComponent("jupyter/kernels")
            }
        }
    }

    /// Path of the running program, links resolved.
    static var executable: String {
        get throws { try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") }
    }

    /// The logos that the build copies beside the program.
    private static var logos: URL {
        get throws {
            let folder = URL(fileURLWithPath: try executable).deletingLastPathComponent().appendingPathComponent("LoRALab_loralab.resources/kernelspec")
            guard FileManager.default.fileExists(atPath: folder.path) else {
                throw CommandError("\(folder.path) is missing: the program was moved without the folders beside it, or needs building again.")
            }
            return folder
        }
    }

    /// kernel.json's bytes, naming this program.
    private func document() throws -> Data {
        var specification = KernelSpecification(executable: try Self.executable)
        if let displayName { specification.displayName = displayName }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(specification)
    }

    /// Writes the folder whole or not at all: into a hidden neighbour first, then renamed.
    ///
    /// - Returns: the folder written.
    func install(in place: Place) throws -> URL {
        try checkName()
        let files = FileManager.default, kernels = place.kernels
        let target = kernels.appendingPathComponent(name), fresh = kernels.appendingPathComponent(".\(name)-\(getpid())")
        do {
            try files.createDirectory(at: kernels, withIntermediateDirectories: true)
            try files.copyItem(at: Self.logos, to: fresh)
            defer { try? files.removeItem(at: fresh) }
            try document().write(to: fresh.appendingPathComponent("kernel.json"))
            if files.fileExists(atPath: target.path) { try files.removeItem(at: target) }
            try files.moveItem(at: fresh, to: target)
        } catch let error as CocoaError {
            throw CommandError("The kernelspec could not be written to \(target.path): \(error.localizedDescription)")
        }
        return target
    }

    /// Removes the folder.
    ///
    /// - Returns: the folder removed.
    func uninstall(from place: Place) throws -> URL {
        try checkName()
        let target = place.kernels.appendingPathComponent(name)
        guard FileManager.default.fileExists(atPath: target.appendingPathComponent("kernel.json").path) else {
            throw CommandError("No kernel '\(name)' is installed in \(place.kernels.path).")
        }
        try FileManager.default.removeItem(at: target)
        return target
    }

    /// Jupyter's rule for the folder's name.
    private func checkName() throws {
        let allowed = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        guard !name.isEmpty, name.first != ".", name.unicodeScalars.allSatisfy(allowed.contains) else {
            throw CommandError("'\(name)' cannot name a kernel: use ASCII letters, digits, '.', '_' and '-'.")
        }
    }
}
