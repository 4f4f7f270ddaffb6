import Glibc
import JupyterWire
import Synchronization

/// Diagnostics on the standard error that the process was started with. Silent unless `LORALAB_LOG=debug`; dropped messages are told at most once a second.
final class KernelLog: Sendable {
    private let descriptor: Int32
    private let isEnabled: Bool
    private let lastDrop = Atomic<UInt64>(0)

    /// Keeps standard error before it is captured.
    init() {
        descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
        isEnabled = getenv("LORALAB_LOG").map { String(cString: $0) == "debug" } ?? false
    }

    /// Tells why the process ends.
    func fatal(_ text: String) { write(text) }

    func debug(_ text: String) {
        if isEnabled { write(text) }
    }

    /// A message was not authentic or not well formed. Says why, never what it held.
    func dropped(_ error: WireError) {
        guard isEnabled else { return }
        let now = monotonicNanoseconds()
        guard now - lastDrop.load(ordering: .relaxed) > 1_000_000_000 else { return }
        lastDrop.store(now, ordering: .relaxed)
        write("dropped a message: \(error)")
    }

    private func write(_ text: String) {
        let line = "loralab: \(text)\n"
        _ = Glibc.write(descriptor, line, line.utf8.count)
    }
}
