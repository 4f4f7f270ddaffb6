import CZeroMQ
import Glibc

/// A libzmq context: its background threads and sockets.
///
/// `@unchecked Sendable`: a context may be used from any thread (zmq_ctx_new(3)).
public final class ZMQContext: @unchecked Sendable {
    let handle: UnsafeMutableRawPointer

    public init() {
        guard let handle = zmq_ctx_new() else { preconditionFailure("zmq_ctx_new: \(zmqErrorText())") }
        self.handle = handle
    }

    /// Ends the context: waits for sockets to close and to send what is queued, up to their linger time.
    public func terminate() {
        while zmq_ctx_term(handle) != 0, errno == EINTR {}
    }

    /// Whether libzmq was built with CURVE.
    public static var supportsCurve: Bool { zmq_has("curve") == 1 }
}

/// One socket.
///
/// `@unchecked Sendable`: a socket belongs to one thread at a time; it is bound by the thread that makes it, then handed to the loop that owns it
/// (the start of a thread is the full barrier that zmq_socket(3) asks for).
public final class ZMQSocket: @unchecked Sendable {
    public enum Kind: Sendable {
        case router, xpub, dealer, subscriber
        fileprivate var value: Int32 {
            switch self {
            case .router: ZMQ_ROUTER
            case .xpub: ZMQ_XPUB
            case .dealer: ZMQ_DEALER
            case .subscriber: ZMQ_SUB
            }
        }
    }

    /// Frames a message may have; more is abuse.
    private static let frameLimit = 4096
    /// Bytes a frame may have.
    private static let frameSizeLimit: Int64 = 256 << 20
    /// Milliseconds that unsent messages may delay the end of the process.
    private static let linger: Int32 = 1000
    /// A dropped message above this size gives its memory back to the system at once, in bytes.
    private static let trimThreshold = 8 << 20

    let handle: UnsafeMutableRawPointer

    public init(_ kind: Kind, in context: ZMQContext) {
        guard let handle = zmq_socket(context.handle, kind.value) else { preconditionFailure("zmq_socket: \(zmqErrorText())") }
        self.handle = handle
        set(ZMQ_LINGER, Self.linger)
        set(ZMQ_SNDHWM, 0)
        set(ZMQ_IPV6, 1)
        var limit = Self.frameSizeLimit
        zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &limit, MemoryLayout<Int64>.size)
        switch kind {
        case .router: set(ZMQ_ROUTER_HANDOVER, 1)
        case .xpub: set(ZMQ_XPUB_VERBOSE, 1)
        case .subscriber: zmq_setsockopt(handle, ZMQ_SUBSCRIBE, "", 0)
        case .dealer: break
        }
    }

    private func set(_ option: Int32, _ value: Int32) {
        var value = value
        let status = zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size)
        precondition(status == 0, "zmq_setsockopt(\(option)): \(zmqErrorText())")
    }

    /// Encrypts the socket; before `bind`.
    public func enableCurve(_ keys: ConnectionFile.CurveKeys) throws(ConnectionError) {
        set(ZMQ_CURVE_SERVER, 1)
        guard zmq_setsockopt(handle, ZMQ_CURVE_PUBLICKEY, keys.publicKey, 40) == 0, zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, keys.secretKey, 40) == 0 else {
            throw ConnectionError("the curve keys of the connection file are not valid Z85 keys")
        }
    }

    /// - Returns: the endpoint with the port that was chosen.
    public func bind(_ endpoint: String) throws(ConnectionError) -> String {
        guard zmq_bind(handle, endpoint) == 0 else { throw ConnectionError("cannot listen on \(endpoint): \(zmqErrorText())") }
        var name = [CChar](repeating: 0, count: 1024)
        var length = name.count
        zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &name, &length)
        return String(decoding: name.prefix(max(0, length - 1)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    public func connect(_ endpoint: String) throws(ConnectionError) {
        guard zmq_connect(handle, endpoint) == 0 else { throw ConnectionError("cannot connect to \(endpoint): \(zmqErrorText())") }
    }

    /// The next whole message, or `nil` when none is waiting. A message of too many frames is read to its end and comes back empty.
    public func receive() -> [[UInt8]]? {
        var frames: [[UInt8]] = []
        var count = 0
        var message = zmq_msg_t()
        zmq_msg_init(&message)
        defer { zmq_msg_close(&message) }
        repeat {
            let size = zmq_msg_recv(&message, handle, ZMQ_DONTWAIT)
            if size < 0 {
                if errno == EINTR { continue }
                return nil
            }
            count += 1
            if count <= Self.frameLimit {
                frames.append(Array(UnsafeRawBufferPointer(start: zmq_msg_data(&message), count: Int(size))))
            }
        } while count == 0 || zmq_msg_more(&message) == 1
        return count <= Self.frameLimit ? frames : []
    }

    /// Sends a whole message; to a peer that is gone it is dropped.
    public func send(_ frames: [[UInt8]]) {
        for (index, frame) in frames.enumerated() {
            let flags = index + 1 < frames.count ? ZMQ_SNDMORE | ZMQ_DONTWAIT : ZMQ_DONTWAIT
            while zmq_send(handle, frame, frame.count, flags) < 0 {
                if errno != EINTR { return }
            }
        }
    }

    public func close() { zmq_close(handle) }

    /// Returns the memory of a large dropped message to the system.
    public static func releaseMemory(of frames: [[UInt8]]) {
        if frames.reduce(0, { $0 + $1.count }) > trimThreshold { malloc_trim(0) }
    }
}

func zmqErrorText() -> String { String(cString: zmq_strerror(zmq_errno())) }

/// Waits for sockets and for a wake signal.
public enum ZMQPoll {
    /// - Parameter milliseconds: −1 waits without end.
    /// - Returns: for each socket whether a message waits.
    public static func wait(for sockets: [ZMQSocket], or signal: WakeSignal?, milliseconds: Int) -> [Bool] {
        var items = sockets.map { zmq_pollitem_t(socket: $0.handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0) }
        if let signal { items.append(zmq_pollitem_t(socket: nil, fd: signal.descriptor, events: Int16(ZMQ_POLLIN), revents: 0)) }
        while zmq_poll(&items, Int32(items.count), milliseconds) < 0, zmq_errno() == EINTR {}
        if let signal, items[sockets.count].revents != 0 { signal.clear() }
        return items.prefix(sockets.count).map { $0.revents & Int16(ZMQ_POLLIN) != 0 }
    }
}
