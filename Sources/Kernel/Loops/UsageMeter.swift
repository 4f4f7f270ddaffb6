import Glibc
import JupyterWire
import Threads

/// What Lab's resource panel asks for (`usage_request`, an extension of ipykernel's): processor and memory of this process and of the machine.
final class UsageMeter: Sendable {
    private struct Sample: Sendable {
        /// Seconds of processor time of this process.
        var process = 0.0
        /// Seconds since some fixed moment.
        var clock = 0.0
        /// Busy and total ticks of the machine.
        var busy = 0
        var total = 0
    }

    private let last = Monitor(Sample())

    /// Content of `usage_reply`; percentages are of the time since the previous request.
    var content: JSON {
        let now = Self.sample()
        let before = last.withLock { last in
            defer { last = now }
            return last
        }
        let memory = Self.memory()
        let hostPercent = now.total > before.total ? 100 * Double(now.busy - before.busy) / Double(now.total - before.total) : 0
        return [
            "status": "ok", "hostname": .string(Self.hostname), "pid": .integer(Int(getpid())), "cpu_count": .integer(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            "kernel_cpu": .number(100 * (now.process - before.process) / max(now.clock - before.clock, 1e-3)),
            "kernel_memory": .integer(Self.residentBytes), "host_cpu_percent": .number(hostPercent), "host_virtual_memory": memory,
        ]
    }

    private static var hostname: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, 255)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static var residentBytes: Int {
        let fields = fileText("/proc/self/statm").split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
    }

    private static func sample() -> Sample {
        var usage = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &usage)
        let ticks = fileText("/proc/stat").prefix { $0 != "\n" }.split(separator: " ").dropFirst().compactMap { Int($0) }
        let total = ticks.prefix(8).reduce(0, +)
        let idle = ticks.count > 4 ? ticks[3] + ticks[4] : 0
        return Sample(
            process: Double(usage.tv_sec) + Double(usage.tv_nsec) / 1e9, clock: Double(monotonicNanoseconds()) / 1e9, busy: total - idle, total: total)
    }

    private static func memory() -> JSON {
        var bytes: [String: Int] = [:]
        for line in fileText("/proc/meminfo").split(separator: "\n") {
            let fields = line.split { $0 == ":" || $0 == " " }
            if fields.count >= 2, let kibibytes = Int(fields[1]) { bytes[String(fields[0])] = kibibytes << 10 }
        }
        let total = bytes["MemTotal"] ?? 0, available = bytes["MemAvailable"] ?? 0
        return [
            "total": .integer(total), "available": .integer(available), "used": .integer(total - available), "free": .integer(bytes["MemFree"] ?? 0),
            "percent": .number(total > 0 ? 100 * Double(total - available) / Double(total) : 0),
        ]
    }

    private static func fileText(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let bytes = [UInt8](unsafeUninitializedCapacity: 16 << 10) { buffer, count in
            count = max(0, read(descriptor, buffer.baseAddress, buffer.count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
