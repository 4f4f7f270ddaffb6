import COpenBLAS
import Dispatch
import Glibc
import Synchronization

/// Shares loops between threads in small pieces, so that a thread that the machine takes away holds nobody up.
enum Parallel {
    private static let count = Atomic<Int>(0)

    static var threads: Int {
        let set = count.load(ordering: .relaxed)
        if set > 0 { return set }
        openblas_set_num_threads(1)   // the pool is ours; BLAS calls run on the thread that makes them
        let available = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        count.store(available, ordering: .relaxed)
        return available
    }

    static func setThreads(_ n: Int) {
        openblas_set_num_threads(1)
        count.store(max(1, n), ordering: .relaxed)
    }

    /// Calls `body` for ranges of at most `grain` that together make `0..<n`, on several threads.
    static func run(_ n: Int, grain: Int, _ body: (Range<Int>) -> Void) {
        guard n > 0 else { return }
        let pieces = (n + grain - 1) / grain
        if pieces == 1 || threads == 1 {
            body(0..<n)
            return
        }
        withoutActuallyEscaping(body) { body in
            nonisolated(unsafe) let body = body
            DispatchQueue.concurrentPerform(iterations: pieces) { piece in
                body(piece * grain..<min(n, (piece + 1) * grain))
            }
        }
    }
}
