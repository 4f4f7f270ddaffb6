import ArgumentParser
import Kernel
import Lab

/// Serves a notebook on the sockets of a connection file.
struct KernelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "kernel", abstract: "Serve a Jupyter front end.")

    @Option(name: [.customLong("connection-file"), .customShort("f")], help: "The JSON file that Jupyter writes for its kernels.")
    var connectionFile: String

    func run() throws {
        let kernel = JupyterKernel(
            KernelConfiguration(
                connectionFile: connectionFile, implementationVersion: LoRALab.version, banner: "LoRALab \(LoRALab.version): trains LoRA models in a notebook.", magics: Lab.magics(Session())))
        throw ExitCode(kernel.run())
    }
}
