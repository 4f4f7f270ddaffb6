import CCompute

/// The engine's settings and figures: threads and tensor memory, both shared by the whole process.
public enum Engine {
    /// Threads that share one op's work. At start: the processors this process may run on.
    public static var threads: Int { Int(cc_threads()) }

    /// Results do not depend on it: threads share out what is written, and each sum is added in one order.
    public static func setThreads(_ n: Int) { cc_set_threads(Int32(clamping: max(1, n))) }

    /// The instruction set that loops use: "generic", "avx2", "avx512", "neon".
    public static var instructionSet: String { String(cString: cc_isa_name(cc_current_isa())) }

    /// Bytes held by living tensors of the processor.
    public static var bytesInUse: Int { HostDevice.shared.pool.bytesInUse }

    /// The largest `bytesInUse` so far, or since `resetPeak()`.
    public static var peakBytes: Int { HostDevice.shared.pool.peakBytes }

    public static func resetPeak() { HostDevice.shared.pool.resetPeak() }

    /// Bytes of freed blocks kept for the next tensors.
    public static var bytesPooled: Int { HostDevice.shared.pool.bytesFree }

    /// The most that `bytesPooled` may become; blocks freed beyond it go back to the system at once. 4 GiB at start.
    public static func setPoolLimit(_ bytes: Int) { HostDevice.shared.pool.setLimit(bytes) }

    /// Gives the freed blocks back to the system: at the end of a run, so that the process shrinks to what it holds.
    public static func trimPool() {
        HostDevice.shared.pool.trim()
        cc_trim()
    }
}
