import Glibc
import Synchronization

/// Wakes a thread that waits in `zmq_poll`: a pipe with at most one byte in it.
public final class WakeSignal: Sendable {
    let descriptor: Int32
    private let writeEnd: Int32
    private let isRaised = Atomic<Bool>(false)

    public init() {
        var ends: [Int32] = [0, 0]
        let status = pipe(&ends)
        precondition(status == 0, "pipe: \(String(cString: strerror(errno)))")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        descriptor = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(descriptor)
        close(writeEnd)
    }

    /// Wakes the waiting thread, now or when it next waits.
    public func raise() {
        guard !isRaised.exchange(true, ordering: .acquiringAndReleasing) else { return }
        var byte: UInt8 = 1
        while write(writeEnd, &byte, 1) < 0, errno == EINTR {}
    }

    func clear() {
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) < 0, errno == EINTR {}
        isRaised.store(false, ordering: .releasing)
    }
}
