import CCompute

/// The engine's settings and figures: threads and tensor memory, both shared by the whole process.
public enum Engine {
    /// Threads that share one op's work. At start: the processors this process may run on.
    public static var threads: Int { Int(cc_threads()) }

    /// Results are repeatable for a fixed number of threads.
    public static func setThreads(_ n: Int) { cc_set_threads(Int32(clamping: max(1, n))) }

    /// Bytes held by living tensors.
    public static var bytesInUse: Int { MemoryPool.shared.state.withLock { $0.bytesInUse } }

    /// The largest `bytesInUse` so far, or since `resetPeak()`.
    public static var peakBytes: Int { MemoryPool.shared.state.withLock { $0.peakBytes } }

    public static func resetPeak() { MemoryPool.shared.state.withLock { $0.peakBytes = $0.bytesInUse } }

    /// Bytes of freed blocks kept for the next tensors.
    public static var bytesPooled: Int { MemoryPool.shared.state.withLock { $0.bytesFree } }

    /// The most that `bytesPooled` may become; blocks freed beyond it go back to the system at once. 4 GiB at start.
    public static func setPoolLimit(_ bytes: Int) { MemoryPool.shared.state.withLock { $0.freeLimit = bytes } }

    /// Gives the freed blocks back to the system: at the end of a run, so that the process shrinks to what it holds.
    public static func trimPool() {
        MemoryPool.shared.trim()
        cc_trim()
    }
}
