import ArgumentParser
import Dispatch
import Kernel
import Lab
import TensorCore

/// Serves a notebook on the sockets of a connection file.
struct KernelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "kernel", abstract: "Serve a Jupyter front end.")

    @Option(name: [.customLong("connection-file"), .customShort("f")], help: "The JSON file that Jupyter writes for its kernels.")
    var connectionFile: String

    /// Seconds that a training step in hand is waited for at shutdown; Jupyter ends a kernel by force after five.
    private static let patience = 4.0

    /// Seconds after the start when front ends have had their first answers; on a busy machine, the later of the two.
    private static let settling = [0.5, 3]

    func run() throws {
        for seconds in Self.settling {
            DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { SystemMemory.releaseProgramPages() }
        }
        let session = Session()
        let kernel = JupyterKernel(
            KernelConfiguration(
                connectionFile: connectionFile, implementationVersion: LoRALab.version, banner: "LoRALab \(LoRALab.version): trains LoRA models in a notebook.",
                magics: Lab.magics(session), onShutdown: { _ in session.close(waiting: Self.patience) }))
        throw ExitCode(kernel.run())
    }
}
