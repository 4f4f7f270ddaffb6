import Glibc
import JupyterWire
import Testing
import Threads

@Suite struct ConnectionFileTests {
    private static func write(_ json: JSON) -> String {
        let path = "/tmp/connection-\(randomIdentifier()).json"
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o644)
        let bytes = json.bytes
        _ = Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
        return path
    }

    private static func file(_ changes: [String: JSON] = [:]) throws -> ConnectionFile {
        var members: [String: JSON] = ["ip": "127.0.0.1", "transport": "tcp", "key": "k", "signature_scheme": "hmac-sha256", "later": ["kept": true]]
        for (offset, channel) in ConnectionFile.Channel.allCases.enumerated() { members[channel.key] = .integer(5000 + offset) }
        members.merge(changes) { _, new in new }
        let path = write(.object(members))
        defer { unlink(path) }
        return try ConnectionFile(path: path)
    }

    @Test("endpoints join address and port as the transport does")
    func endpoints() throws {
        #expect(try Self.file().endpoint(.shell) == "tcp://127.0.0.1:5000")
        #expect(try Self.file(["shell_port": 0]).endpoint(.shell) == "tcp://127.0.0.1:*")
        #expect(try Self.file(["ip": "::1"]).endpoint(.shell) == "tcp://[::1]:5000")
        #expect(try Self.file(["transport": "ipc", "ip": "/tmp/k"]).endpoint(.heartbeat) == "ipc:///tmp/k-5004")
    }

    @Test("wrong files are refused with the name of what is wrong", arguments: [
        (["shell_port": "x"], "shell_port"), (["hb_port": 65_536], "hb_port"), (["iopub_port": nil], "iopub_port"), (["transport": "udp"], "transport"), (["key": 3], "key"),
        (["ip": "*", "key": ""], "key"), (["ip": "0.0.0.0", "key": ""], "key"), (["curve_publickey": "x"], "curve"), (["ip": []], "ip"),
    ] as [([String: JSON], String)])
    func refusing(changes: [String: JSON], word: String) throws {
        let error = #expect(throws: ConnectionError.self) { try Self.file(changes) }
        #expect(try #require(error).description.contains(word))
    }

    @Test("chosen ports are written back; unknown keys stay and the mode becomes 0600")
    func saving() throws {
        let path = Self.write([
            "ip": "127.0.0.1", "transport": "tcp", "key": "k", "shell_port": 0, "iopub_port": 0, "stdin_port": 0, "control_port": 0, "hb_port": 0, "later": [1],
        ])
        defer { unlink(path) }
        var file = try ConnectionFile(path: path)
        #expect(file.hasOpenPorts)
        for (offset, channel) in ConnectionFile.Channel.allCases.enumerated() { file.bound(channel, at: "tcp://127.0.0.1:\(6000 + offset)") }
        try file.save()
        let again = try ConnectionFile(path: path)
        #expect(again.ports == file.ports && !again.hasOpenPorts)
        var information = stat()
        #expect(stat(path, &information) == 0 && information.st_mode & 0o777 == 0o600)
    }

    @Test("ipc takes numbers whose path does not exist")
    func ipcPorts() throws {
        let prefix = "/tmp/ipc-\(randomIdentifier())"
        let taken = open(prefix + "-2", O_CREAT | O_WRONLY, 0o600)
        close(taken)
        defer { unlink(prefix + "-2") }
        var file = try Self.file(Dictionary(uniqueKeysWithValues: ConnectionFile.Channel.allCases.map { ($0.key, 0) }).merging(["transport": "ipc", "ip": .string(prefix)]) { $1 })
        file.chooseIPCPorts()
        #expect(file.ports.values.sorted() == [1, 3, 4, 5, 6])
    }

    @Test("a message travels through two sockets whole, and a subscription arrives")
    func sockets() throws {
        let context = ZMQContext()
        let router = ZMQSocket(.router, in: context), dealer = ZMQSocket(.dealer, in: context)
        try dealer.connect(try router.bind("tcp://127.0.0.1:*"))
        dealer.send([[1, 2], [], Array(repeating: 7, count: 100_000)])
        #expect(ZMQPoll.wait(for: [router], or: nil, milliseconds: 5000) == [true])
        let received = try #require(router.receive())
        #expect(received.count == 4 && received[1] == [1, 2] && received[3].count == 100_000)
        #expect(router.receive() == nil)
        router.close()
        dealer.close()
        context.terminate()
    }

    @Test("a raised signal wakes the poll, also when it was raised before")
    func wakeSignal() {
        let signal = WakeSignal()
        signal.raise()
        signal.raise()
        #expect(ZMQPoll.wait(for: [], or: signal, milliseconds: 5000).isEmpty)
        let thread = SystemThread("waker") { signal.raise() }
        #expect(ZMQPoll.wait(for: [], or: signal, milliseconds: 5000).isEmpty)
        thread.join()
    }
}
