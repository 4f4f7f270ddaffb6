import FoundationEssentials

/// What the process takes of the machine's memory.
enum ProcessMemory {
    /// MiB in use now; nil where /proc does not tell.
    static var residentMiB: Int? {
        guard let data = FileManager.default.contents(atPath: "/proc/self/statm") else { return nil }
        let fields = String(decoding: data, as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { ($0 * 4096) >> 20 } : nil
    }
}
