import Glibc

/// What Jupyter tells a kernel about its sockets: the connection file, JSON with keys in jupyter_client's spelling.
public struct ConnectionFile: Sendable {
    /// The five sockets.
    public enum Channel: String, CaseIterable, Sendable {
        case shell, iopub, stdin, control
        case heartbeat = "hb"

        public var key: String { "\(rawValue)_port" }
    }

    public enum Transport: String, Sendable { case tcp, ipc }

    public let path: String
    public let transport: Transport
    /// An address for tcp; the beginning of a path for ipc.
    public let ip: String
    public private(set) var ports: [Channel: Int]
    public let key: String
    public let signatureScheme: String
    /// Z85 texts of 40 characters; both or none.
    public let curveKeys: CurveKeys?
    private var json: JSON

    public struct CurveKeys: Sendable {
        public let publicKey: String
        public let secretKey: String
    }

    /// - Throws: `ConnectionError` naming the file and what is wrong with it; never the key.
    public init(path: String) throws(ConnectionError) {
        let bytes = try readFile(path)
        let parsed: JSON
        do {
            parsed = try JSON(parsing: bytes)
        } catch {
            throw ConnectionError("connection file \(path): not valid JSON (byte \(error.offset))")
        }
        try self.init(parsed, path: path)
    }

    init(_ json: JSON, path: String) throws(ConnectionError) {
        func fault(_ text: String) -> ConnectionError { ConnectionError("connection file \(path): \(text)") }
        guard case .object = json else { throw fault("must hold a JSON object") }
        func text(_ name: String, default value: String) throws(ConnectionError) -> String {
            guard let member = json[name], !member.isNull else { return value }
            guard let text = member.string else { throw fault("“\(name)” must be a string") }
            return text
        }
        self.json = json
        self.path = path
        guard let transport = Transport(rawValue: try text("transport", default: "tcp")) else { throw fault("“transport” must be tcp or ipc") }
        self.transport = transport
        ip = try text("ip", default: "127.0.0.1")
        key = try text("key", default: "")
        signatureScheme = try text("signature_scheme", default: "hmac-sha256")
        ports = [:]
        for channel in Channel.allCases {
            guard let port = json[channel.key]?.integer, (0...65_535).contains(port) else {
                throw fault("“\(channel.key)” must be a port from 0 to 65535 (0 picks a free one)")
            }
            ports[channel] = port
        }
        let secret = try text("curve_secretkey", default: ""), open = try text("curve_publickey", default: "")
        guard secret.isEmpty == open.isEmpty, secret.isEmpty || (secret.utf8.count == 40 && open.utf8.count == 40) else {
            throw fault("“curve_publickey” and “curve_secretkey” must both be Z85 texts of 40 characters")
        }
        curveKeys = secret.isEmpty ? nil : CurveKeys(publicKey: open, secretKey: secret)
        try refuseOpenDoor()
    }

    /// Anyone on the network could run cells: refused.
    private func refuseOpenDoor() throws(ConnectionError) {
        if transport == .tcp, key.isEmpty, ["*", "0.0.0.0", "::", "[::]"].contains(ip) {
            throw ConnectionError("connection file \(path): listening on every address (\(ip)) needs a key; set “key”, or “ip” to 127.0.0.1")
        }
    }

    /// Where a channel's socket binds: `tcp://IP:PORT` or `ipc://PATH-PORT`. Port 0 over tcp lets the system choose.
    public func endpoint(_ channel: Channel) -> String {
        let port = ports[channel]!
        return switch transport {
        case .tcp: "tcp://\(ip.contains(":") && !ip.hasPrefix("[") ? "[\(ip)]" : ip):\(port == 0 ? "*" : String(port))"
        case .ipc: "ipc://\(ip)-\(port)"
        }
    }

    /// The files of ipc sockets; libzmq leaves them behind.
    public var socketPaths: [String] { transport == .ipc ? ports.values.map { "\(ip)-\($0)" } : [] }

    /// Whether a port is still to be chosen.
    public var hasOpenPorts: Bool { ports.values.contains(0) }

    /// Picks unused numbers for ipc sockets, whose port is only the end of a path.
    public mutating func chooseIPCPorts() {
        guard transport == .ipc else { return }
        var number = 1
        for channel in Channel.allCases where ports[channel] == 0 {
            while ports.values.contains(number) || access("\(ip)-\(number)", F_OK) == 0 { number += 1 }
            ports[channel] = number
        }
    }

    /// Takes the port out of the endpoint that a socket was bound to.
    public mutating func bound(_ channel: Channel, at endpoint: String) {
        if transport == .tcp, let port = endpoint.split(separator: ":").last.flatMap({ Int($0) }) { ports[channel] = port }
    }

    /// Writes the chosen ports back, keeping every other key: a new file of mode 0600 replaces the old one.
    public func save() throws(ConnectionError) {
        guard case .object(var members) = json else { return }
        for (channel, port) in ports { members[channel.key] = .integer(port) }
        let temporary = "\(path).\(getpid())"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        let bytes = JSON.object(members).bytes
        let isWritten = descriptor >= 0 && write(descriptor, bytes, bytes.count) == bytes.count
        let reason = errno
        if descriptor >= 0 { close(descriptor) }
        guard isWritten, rename(temporary, path) == 0 else {
            unlink(temporary)
            throw ConnectionError("connection file \(path): the chosen ports cannot be written (\(String(cString: strerror(reason))))")
        }
    }
}

private func readFile(_ path: String) throws(ConnectionError) -> [UInt8] {
    func fault() -> ConnectionError { ConnectionError("connection file \(path): \(String(cString: strerror(errno)))") }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw fault() }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        if count < 0 { throw fault() }
        if count == 0 { return bytes }
        bytes += chunk[..<count]
        if bytes.count > 1 << 20 { throw ConnectionError("connection file \(path): larger than 1 MiB, this is something else") }
    }
}
