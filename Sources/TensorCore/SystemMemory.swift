import CMemory
import Glibc

/// The process's and the machine's memory, as the system tells it, in bytes.
public enum SystemMemory {
    /// What the process has in memory now.
    public static var resident: Int { field("VmRSS:", of: "/proc/self/status") ?? 0 }
    /// The most that it ever had.
    public static var peak: Int { field("VmHWM:", of: "/proc/self/status") ?? 0 }

    /// What the process can still ask for without the machine running out: the system's own estimate, or less where a control group
    /// (a container) allows less. nil where the system does not tell.
    public static var available: Int? {
        guard let free = field("MemAvailable:", of: "/proc/meminfo") else { return nil }
        return min(free, groupRemainder ?? free)
    }

    /// Lets go of the pages of programs and libraries that the process need not hold: starting touches symbol tables and initialisers that
    /// running never asks for again. What is asked for comes back from the file. Safe at any time, whatever other threads map and unmap.
    public static func releaseProgramPages() { cm_release_program_pages() }

    private static var groupRemainder: Int? {
        guard let limit = number("/sys/fs/cgroup/memory.max"), let used = number("/sys/fs/cgroup/memory.current") else { return nil }
        return max(0, limit - used + (field("inactive_file", of: "/sys/fs/cgroup/memory.stat", unit: 1) ?? 0))
    }

    private static func number(_ path: String) -> Int? { text(path).flatMap { Int($0.prefix { $0.isNumber }) } }

    /// The number after a name at the start of a line.
    private static func field(_ name: String, of path: String, unit: Int = 1024) -> Int? {
        let line = text(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { $0.dropFirst(name.count).split(whereSeparator: { $0 == " " || $0 == "\t" }).first }.flatMap { Int($0) }.map { $0 * unit }
    }

    private static func text(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = [], part = [UInt8](repeating: 0, count: 16 << 10)
        while case let count = fread(&part, 1, part.count, file), count > 0 { bytes += part[0..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
