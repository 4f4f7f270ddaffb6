import ArgumentParser
import Foundation

/// `loralab doctor`: what this machine offers, what is installed, what is missing, one line each.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "doctor", abstract: "Tell what is installed, what is missing, and what the machine offers.")

    func run() throws {
        for finding in [program, cores, memory, instructions] + kernelspecs { print(finding) }
    }

    private var program: String {
        "program      LoRALab \(LoRALab.version), \((try? KernelFolder.executable) ?? "path unknown")"
    }

    private var cores: String { "cores        \(ProcessInfo.processInfo.activeProcessorCount) active" }

    private var memory: String {
        "memory       \(ProcessInfo.processInfo.physicalMemory >> 20) MiB, of which \(Self.field("MemAvailable", of: "/proc/meminfo") ?? "unknown") available"
    }

    private var instructions: String {
        let flags = Set((Self.field("flags", of: "/proc/cpuinfo") ?? Self.field("Features", of: "/proc/cpuinfo") ?? "").split(separator: " ").map(String.init))
        let known = ["avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16"].filter(flags.contains)
        return "processor    \(Self.field("model name", of: "/proc/cpuinfo") ?? "unknown"): \(known.joined(separator: " "))"
    }

    private var kernelspecs: [String] {
        var places: [KernelFolder.Place] = [.user]
        if let active = ProcessInfo.processInfo.environment["VIRTUAL_ENV"] { places.append(.prefix(active)) }
        places += [.prefix("/usr/local"), .prefix("/usr")]
        let found = places.map { $0.kernels.appendingPathComponent("loralab/kernel.json").path }
            .filter(FileManager.default.fileExists(atPath:))
        guard !found.isEmpty else { return ["kernelspec   not installed: loralab install --user"] }
        return found.map { "kernelspec   \($0)" }
    }

    /// The first value of `name : value` in one of /proc's tables.
    private static func field(_ name: String, of file: String) -> String? {
        guard let table = try? String(contentsOfFile: file, encoding: .utf8) else { return nil }
        for line in table.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].trimmingCharacters(in: .whitespaces) == name {
                return parts[1].trimmingCharacters(in: .whitespaces)
            }
        }
        return nil
    }
}
