@preconcurrency import Glibc
import JupyterWire
import Threads

/// File descriptors 1 and 2 as output of cells: what native code, `print` or a child process writes goes through pipes and becomes `stream` messages.
///
/// Reading happens under one lock, by a thread that waits for the pipes and by whoever drains them: a write is in the pipe when it returns, so after a cell `drain()`
/// sees everything, in order, without waiting for a moment that might be long enough.
package final class StandardStreams: Sendable {
    private struct Pipe: Sendable {
        let name: StreamName
        let readEnd: Int32
        /// The beginning of a character whose end has not been read yet.
        var rest: [UInt8] = []
    }

    private struct State: Sendable {
        var pipes: [Pipe]
        var parent: ParentHeader? = ParentHeader.none
    }

    private static let chunk = 64 << 10

    private let state: Monitor<State>
    private let emit: @Sendable (StreamName, String, ParentHeader) -> Void

    /// Replaces file descriptors 1 and 2 of the process.
    init(emit: @escaping @Sendable (StreamName, String, ParentHeader) -> Void) {
        self.emit = emit
        setvbuf(stdout, nil, _IOLBF, 0)
        state = Monitor(State(pipes: [Self.capture(STDOUT_FILENO, .stdout), Self.capture(STDERR_FILENO, .stderr)]))
    }

    private static func capture(_ descriptor: Int32, _ name: StreamName) -> Pipe {
        var ends: [Int32] = [0, 0]
        let status = pipe(&ends)
        precondition(status == 0, "pipe: \(String(cString: strerror(errno)))")
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        dup2(ends[1], descriptor)
        close(ends[1])
        return Pipe(name: name, readEnd: ends[0])
    }

    /// What is written from now on belongs to this request; `nil` discards it.
    func attribute(to parent: ParentHeader?) { state.withLock { $0.parent = parent } }

    /// Emits everything written so far.
    func drain() {
        fflush(stdout)
        read()
    }

    /// Emits everything written so far, half characters as U+FFFD.
    func end() {
        drain()
        state.withLock { state in
            for index in state.pipes.indices where !state.pipes[index].rest.isEmpty {
                if let parent = state.parent { emit(state.pipes[index].name, String(decoding: state.pipes[index].rest, as: UTF8.self), parent) }
                state.pipes[index].rest = []
            }
        }
    }

    /// The thread's loop: keeps the pipes from filling while a cell runs.
    func run() {
        let ends = state.withLock { $0.pipes.map(\.readEnd) }
        var items = ends.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while true {
            if poll(&items, nfds_t(items.count), -1) > 0 { read() }
        }
    }

    private func read() {
        state.withLock { state in
            for index in state.pipes.indices { Self.read(&state.pipes[index], state.parent, emit) }
        }
    }

    private static func read(_ pipe: inout Pipe, _ parent: ParentHeader?, _ emit: (StreamName, String, ParentHeader) -> Void) {
        while true {
            let bytes = [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
                count = max(0, Glibc.read(pipe.readEnd, buffer.baseAddress, buffer.count))
            }
            if bytes.isEmpty { return }
            let all = pipe.rest + bytes
            let whole = completePrefix(of: all)
            pipe.rest = Array(all[whole...])
            if let parent, whole > 0 { emit(pipe.name, String(decoding: all[..<whole], as: UTF8.self), parent) }
        }
    }

    /// How many bytes end at the end of a character (UTF-8); bytes that are no UTF-8 at all count as whole.
    package static func completePrefix(of bytes: [UInt8]) -> Int {
        for back in 1...4 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > back ? bytes.count - back : bytes.count
        }
        return bytes.count
    }
}
