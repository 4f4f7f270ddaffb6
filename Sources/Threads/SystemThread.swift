import Glibc

/// A thread of the operating system for a loop that blocks; Swift's cooperative pool must not wait in `zmq_poll`.
public final class SystemThread: @unchecked Sendable {  // the handle is written once, before anyone else sees the object
    private var handle = pthread_t()

    private final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// - Parameter name: up to 15 characters, as `top -H` shows it.
    public init(_ name: String, stackSize: Int = 1 << 20, _ run: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, stackSize)
        defer { pthread_attr_destroy(&attributes) }
        let body = Unmanaged.passRetained(Body(name: name, run: run))
        let status = pthread_create(&handle, &attributes, { argument in
            let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
            nameThread(body.name)
            body.run()
            return nil
        }, body.toOpaque())
        precondition(status == 0, "pthread_create: \(String(cString: strerror(status)))")
    }

    /// Waits until the thread has ended; once.
    public func join() { pthread_join(handle, nil) }
}

/// Linux reads a thread's name from this file; a name that cannot be set is no loss.
private func nameThread(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, name, min(name.utf8.count, 15))
    close(descriptor)
}
