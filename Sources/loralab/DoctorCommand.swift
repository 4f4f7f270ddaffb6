import ArgumentParser
import Foundation
import Lab
import TensorCore

/// `loralab doctor`: what this machine offers, what is installed, what is missing, one line each.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "doctor", abstract: "Tell what is installed, what is missing, and what the machine offers.")

    func run() throws {
        for finding in [program, cores, memory, processor, loops, blas, model, fonts] + kernelspecs { print(finding) }
    }

    private var program: String {
        "program      LoRALab \(LoRALab.version), \((try? KernelFolder.executable) ?? "path unknown")"
    }

    private var cores: String {
        "cores        \(ProcessInfo.processInfo.activeProcessorCount) active; the engine uses \(Engine.threads) threads"
    }

    /// Which instruction set the loops are compiled for, and why that one.
    private var loops: String {
        let used = Engine.instructionSet
        switch ProcessInfo.processInfo.environment["LORALAB_ISA"] {
        case nil, "": return "loops        \(used), the widest that this processor has"
        case used: return "loops        \(used), as LORALAB_ISA says"
        case let other?: return "loops        \(used), the widest that this processor has; it has no LORALAB_ISA=\(other)"
        }
    }

    /// The library's own words; looked up at run time, since only the engine is built against it.
    private var blas: String {
        guard let symbol = dlsym(nil, "openblas_get_config") else { return "BLAS         no OpenBLAS in this process" }
        let configuration = unsafeBitCast(symbol, to: (@convention(c) () -> UnsafePointer<CChar>).self)
        return "BLAS         \(String(cString: configuration()).trimmingCharacters(in: .whitespaces))"
    }

    private var model: String {
        do { return "model        embedded one in \(try EmbeddedModel.folder())" } catch { return "model        \(error). \(error.wayOut ?? "")" }
    }

    /// Plots and sheets need a font; Chinese captions one that has the characters.
    private var fonts: String {
        let folders = ["/usr/share/fonts", "/usr/local/share/fonts", NSHomeDirectory() + "/.local/share/fonts"]
        let files = folders.flatMap { FileManager.default.enumerator(atPath: $0)?.compactMap { $0 as? String } ?? [] }
        guard files.contains(where: { [".ttf", ".otf", ".ttc"].contains(where: $0.lowercased().hasSuffix) }) else {
            return "fonts        none found: apt-get install fonts-dejavu-core"
        }
        return "fonts        found" + (files.contains { $0.contains("CJK") } ? ", with Chinese characters" : "; for Chinese characters: apt-get install fonts-noto-cjk")
    }

    private var memory: String {
        "memory       \(ProcessInfo.processInfo.physicalMemory >> 20) MiB, of which \(Self.field("MemAvailable", of: "/proc/meminfo") ?? "unknown") available"
    }

    private var processor: String {
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
