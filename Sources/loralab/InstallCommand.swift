import ArgumentParser
import Foundation

/// The choice of place that `install` and `uninstall` share.
struct PlaceOptions: ParsableArguments {
    @Flag(help: "For your user (the default): every Jupyter you start finds it.")
    var user = false

    @Option(help: ArgumentHelp("For the environment in this folder.", valueName: "folder"))
    var prefix: String?

    @Flag(help: "For the Python environment that is active ($VIRTUAL_ENV, $CONDA_PREFIX, or python3's own).")
    var sysPrefix = false

    @Option(help: "The kernel's name, as in `jupyter console --kernel NAME`.")
    var name = "loralab"

    func validate() throws {
        guard [user, prefix != nil, sysPrefix].filter({ $0 }).count <= 1 else {
            throw ValidationError("Give one of --user, --prefix and --sys-prefix.")
        }
    }

    var place: KernelFolder.Place {
        get throws {
            if let prefix { return .prefix(prefix) }
            return sysPrefix ? .prefix(try activePrefix()) : .user
        }
    }

    /// The active environment's folder; python3 itself is asked when no variable tells.
    private func activePrefix() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        if let prefix = environment["VIRTUAL_ENV"] ?? environment["CONDA_PREFIX"] { return prefix }
        let python = Process(), output = Pipe()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        python.arguments = ["python3", "-c", "import sys; print(sys.prefix)"]
        python.standardOutput = output
        try python.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        python.waitUntilExit()
        let prefix = said.trimmingCharacters(in: .whitespacesAndNewlines)
        guard python.terminationStatus == 0, !prefix.isEmpty else {
            throw CommandError("python3 did not tell its prefix: activate an environment, or give --prefix.")
        }
        return prefix
    }
}

/// `loralab install`: makes the kernel known to Jupyter.
struct InstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "install", abstract: "Make the kernel known to Jupyter.")

    @OptionGroup var options: PlaceOptions

    @Option(help: "The name that Jupyter shows.")
    var displayName: String?

    func run() throws {
        let folder = try KernelFolder(name: options.name, displayName: displayName).install(in: options.place)
        print("Kernel '\(options.name)' installed in \(folder.path)")
    }
}

/// `loralab uninstall`: the reverse.
struct UninstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "uninstall", abstract: "Remove the kernel from Jupyter.")

    @OptionGroup var options: PlaceOptions

    func run() throws {
        let folder = try KernelFolder(name: options.name).uninstall(from: options.place)
        print("Removed \(folder.path)")
    }
}
