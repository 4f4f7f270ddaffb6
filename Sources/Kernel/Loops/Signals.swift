import Glibc

/// The write end of the pipe that handlers write to. A handler may only call async-signal-safe functions: it writes the signal's number, nothing else.
private nonisolated(unsafe) var signalPipe: Int32 = -1

/// Turns signals and requests of other threads into numbers that the main thread reads.
struct Signals: Sendable {
    enum Event: Sendable, Equatable {
        case interrupt
        case terminate
        case shutDown(restart: Bool)
    }

    private let readEnd: Int32

    /// Installs handlers for SIGINT, SIGTERM and SIGHUP; ignores SIGPIPE. Handlers rather than `sigwait`: libraries may have started threads that do not block
    /// these signals before `main`.
    init() {
        var ends: [Int32] = [0, 0]
        let status = pipe(&ends)
        precondition(status == 0, "pipe: \(String(cString: strerror(errno)))")
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        readEnd = ends[0]
        signalPipe = ends[1]
        for number in [SIGINT, SIGTERM, SIGHUP] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { number in
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(signalPipe, &byte, 1)
            }
            action.sa_flags = SA_RESTART
            sigaction(number, &action, nil)
        }
        signal(SIGPIPE, SIG_IGN)
    }

    /// Asks the main thread to end the process.
    func requestShutdown(restart: Bool) {
        var byte: UInt8 = restart ? 201 : 200
        _ = write(signalPipe, &byte, 1)
    }

    /// Waits for the next event, at most `milliseconds`; `nil` when the time has passed.
    func next(milliseconds: Int32) -> Event? {
        var item = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
        guard poll(&item, 1, milliseconds) > 0 else { return nil }
        var byte: UInt8 = 0
        guard read(readEnd, &byte, 1) == 1 else { return nil }
        switch byte {
        case 200: return .shutDown(restart: false)
        case 201: return .shutDown(restart: true)
        case UInt8(SIGINT): return .interrupt
        default: return .terminate
        }
    }
}

/// The process that started the kernel, if it wants to be followed: `JPY_PARENT_PID`.
struct ParentProcess: Sendable {
    private let number: pid_t?
    private let first = getppid()

    init() {
        number = getenv("JPY_PARENT_PID").flatMap { pid_t(String(cString: $0)) }.flatMap { $0 > 1 ? $0 : nil }
    }

    /// Whether it has ended: it is no longer there, or this process has been handed to another parent.
    var hasEnded: Bool {
        guard let number else { return false }
        return getppid() != first || (kill(number, 0) != 0 && errno == ESRCH)
    }
}
