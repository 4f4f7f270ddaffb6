import ArgumentParser
import Bench

/// The one executable: the kernel that Jupyter starts, and the commands around it.
@main
struct LoRALab: ParsableCommand {
    /// The version that `--version`, the kernel's banner and the saved files' metadata name.
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "loralab",
        abstract: "A Jupyter kernel for training LoRA models of Stable Diffusion.",
        version: "LoRALab \(version)",
        subcommands: [
            KernelCommand.self, InstallCommand.self, UninstallCommand.self, DoctorCommand.self, FetchVocabularyCommand.self, BenchCommand.self, ForgeCommand.self, StyleCommand.self,
        ])
}
