import JupyterWire
import Testing

@Suite struct WireSessionTests {
    private let client: WireSession
    private let kernel: WireSession
    private let signer: Signer

    init() throws {
        signer = try Signer(key: "key")
        client = WireSession(signer: signer, id: "client")
        kernel = WireSession(signer: signer, id: "kernel")
    }

    private func request(_ type: String = "kernel_info_request", _ content: JSON = [:]) -> [[UInt8]] {
        client.seal(OutgoingMessage(type, content, parent: .none), routing: [[1], [2]])
    }

    @Test("what one side seals the other opens")
    func roundTrip() throws {
        let message = try kernel.open(request("execute_request", ["code": "%echo 🙂"]) + [[0xFF]])
        #expect(message.type == "execute_request")
        #expect(message.header.session == "client")
        #expect(message.identities == [[1], [2]])
        #expect(message.content["code"]?.string == "%echo 🙂")
        #expect(message.buffers == [[0xFF]])
    }

    @Test("the parent header is the request's header, byte by byte")
    func parentHeader() throws {
        let header = Array(#"{ "msg_type":"x",  "n": 1.0, "later":[ ] }"#.utf8)
        let parts = [header, [0x7B, 0x7D], [0x7B, 0x7D], [0x7B, 0x7D]]
        let message = try kernel.open([Frames.delimiter, signer.sign(parts)] + parts)
        let reply = try Frames(splitting: kernel.seal(OutgoingMessage("y", [:], parent: message.parent), routing: []))
        #expect(reply.parts[1] == header)
    }

    @Test("a message is accepted once")
    func replay() throws {
        let frames = request()
        _ = try kernel.open(frames)
        #expect(throws: WireError.replayed) { try self.kernel.open(frames) }
    }

    @Test("a forged copy does not use up the signature of the real message")
    func forgedFirst() throws {
        let frames = request()
        var forged = frames
        forged[forged.count - 1] = Array("{\"x\":1}".utf8)
        #expect(throws: WireError.wrongSignature) { try self.kernel.open(forged) }
        #expect(try kernel.open(frames).type == "kernel_info_request")
    }

    @Test("unsigned bytes never reach the JSON parser")
    func verifyBeforeParse() {
        #expect(throws: WireError.wrongSignature) {
            try self.kernel.open([Frames.delimiter, [], [0xFF], [0xFF], [0xFF], [0xFF]])
        }
    }

    @Test("signed frames that are no JSON objects are refused", arguments: [
        (["[]", "{}", "{}", "{}"], WireError.notAnObject(frame: "header")), (["{\"msg_type\":\"a\"}", "null", "{}", "{}"], .notAnObject(frame: "parent_header")),
        (["{\"msg_type\":\"a\"}", "{}", "1", "{}"], .notAnObject(frame: "metadata")), (["{\"msg_type\":\"a\"}", "{}", "{}", "\"\""], .notAnObject(frame: "content")),
        (["{}", "{}", "{}", "{}"], .missingHeaderField("msg_type")),
    ])
    func notObjects(texts: [String], error: WireError) {
        let parts = texts.map { Array($0.utf8) }
        #expect(throws: error) { try self.kernel.open([Frames.delimiter, self.signer.sign(parts)] + parts) }
    }

    @Test("headers have unique ids and dates with microseconds and zone")
    func headers() throws {
        let headers = try (0..<100).map { _ in try JSON(parsing: try Frames(splitting: request()).parts[0]) }
        #expect(Set(headers.map { $0["msg_id"]!.string! }).count == 100)
        for header in headers {
            let date = try #require(header["date"]?.string)
            #expect(date.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/) != nil)
            #expect(header["version"] == "5.5")
        }
    }

    @Test("random identifiers are version 4 UUIDs")
    func identifiers() {
        let identifiers = (0..<100).map { _ in randomIdentifier() }
        #expect(Set(identifiers).count == 100)
        for identifier in identifiers { #expect(identifier.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil) }
    }
}

@Suite struct StreamCoalescerTests {
    private let first = ParentHeader(bytes: Array("{\"msg_id\":1}".utf8))
    private let second = ParentHeader(bytes: Array("{\"msg_id\":2}".utf8))

    private func text(_ messages: [OutgoingMessage]) -> [String] { messages.map { $0.content["text"]?.string ?? $0.type } }

    @Test("text waits 50 ms for more, counted from the first of it")
    func waiting() {
        var coalescer = StreamCoalescer()
        #expect(coalescer.append("a", to: .stdout, parent: first, now: 0).isEmpty)
        #expect(coalescer.append("b", to: .stdout, parent: first, now: 40_000_000).isEmpty)
        #expect(coalescer.due(now: 49_999_999).isEmpty)
        #expect(text(coalescer.due(now: 50_000_000)) == ["ab"])
        #expect(coalescer.deadline == nil)
    }

    @Test("another stream or another request sends what waits")
    func changes() {
        var coalescer = StreamCoalescer()
        _ = coalescer.append("a", to: .stdout, parent: first, now: 0)
        #expect(text(coalescer.append("b", to: .stderr, parent: first, now: 0)) == ["a"])
        #expect(text(coalescer.append("c", to: .stderr, parent: second, now: 0)) == ["b"])
        #expect(text(coalescer.flush()) == ["c"])
    }

    @Test("64 KiB are sent at once")
    func size() {
        var coalescer = StreamCoalescer()
        let half = String(repeating: "x", count: StreamCoalescer.sizeLimit / 2)
        #expect(coalescer.append(half, to: .stdout, parent: first, now: 0).isEmpty)
        #expect(text(coalescer.append(half, to: .stdout, parent: first, now: 0)) == [half + half])
    }

    @Test("text stays before the message that follows it; empty text is nothing")
    func order() {
        var coalescer = StreamCoalescer()
        #expect(coalescer.append("", to: .stdout, parent: first, now: 0).isEmpty && coalescer.deadline == nil)
        _ = coalescer.append("a", to: .stdout, parent: first, now: 0)
        #expect(text(coalescer.pass(OutgoingMessage("status", [:], parent: first))) == ["a", "status"])
    }
}
