import JupyterWire
import Testing

@Suite struct FramesTests {
    private func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    @Test("a message is split at the first delimiter")
    func splitting() throws {
        let wire = bytes("id1", "", "<IDS|MSG>", "sig", "{}", "{}", "{}", "{}", "<IDS|MSG>", "buffer")
        let frames = try Frames(splitting: wire)
        #expect(frames.identities == bytes("id1", ""))
        #expect(frames.signature == Array("sig".utf8))
        #expect(frames.parts.count == 4)
        #expect(frames.buffers == bytes("<IDS|MSG>", "buffer"))
        #expect(frames.joined == wire)
    }

    @Test("a message without delimiter or with too few frames is refused")
    func refusing() {
        #expect(throws: WireError.missingDelimiter) { try Frames(splitting: []) }
        #expect(throws: WireError.missingDelimiter) { try Frames(splitting: self.bytes("a", "<IDS|MSG")) }
        #expect(throws: WireError.tooFewFrames(0)) { try Frames(splitting: self.bytes("<IDS|MSG>")) }
        #expect(throws: WireError.tooFewFrames(4)) { try Frames(splitting: self.bytes("<IDS|MSG>", "s", "{}", "{}", "{}")) }
    }
}

@Suite struct SignatureTests {
    private let parts = ["{\"a\":1}", "{}", "{}", "{\"code\":\"\"}"].map { Array($0.utf8) }

    /// Python: `hmac.new(b"key", b'{"a":1}{}{}{"code":""}', "sha256").hexdigest()`.
    private static let expected = "31867823f809a1e927eac8e998e9e2d5dc575816f1a22299262432e02267363d"

    @Test("signatures are those of Python's hmac")
    func reference() throws {
        let signer = try Signer(key: "key")
        #expect(String(decoding: signer.sign(parts), as: UTF8.self) == Self.expected)
        #expect(signer.verify(Array(Self.expected.utf8), of: parts))
    }

    @Test("anything else is refused", arguments: ["", "a", expected.uppercased(), expected + "0", String(expected.dropLast()), String(repeating: "0", count: 64)])
    func wrong(signature: String) throws {
        #expect(try !Signer(key: "key").verify(Array(signature.utf8), of: parts))
    }

    @Test("a changed byte changes the signature")
    func changed() throws {
        let signer = try Signer(key: "key")
        let signature = signer.sign(parts)
        for index in parts.indices {
            var changed = parts
            changed[index][0] ^= 1
            #expect(!signer.verify(signature, of: changed))
        }
    }

    @Test("an empty key signs nothing and checks nothing")
    func emptyKey() throws {
        let signer = try Signer(key: "")
        #expect(signer.sign(parts).isEmpty)
        #expect(signer.verify(Array("whatever".utf8), of: parts))
    }

    @Test("unknown schemes are refused", arguments: ["hmac-nonsense", "sha256", "", "hmac-"])
    func schemes(scheme: String) {
        #expect(throws: ConnectionError.self) { try Signer(key: "key", scheme: scheme) }
    }

    @Test("a signature is admitted once; the oldest is forgotten when the ring is full")
    func replay() {
        let replayGuard = ReplayGuard()
        func signature(_ number: Int) -> [UInt8] {
            let digits = String(number, radix: 16)
            return Array((String(repeating: "0", count: 32 - digits.count) + digits + String(repeating: "0", count: 32)).utf8)
        }
        #expect(replayGuard.admit(signature(0)))
        #expect(!replayGuard.admit(signature(0)))
        for number in 1..<ReplayGuard.capacity { #expect(replayGuard.admit(signature(number))) }
        #expect(!replayGuard.admit(signature(0)))
        #expect(replayGuard.admit(signature(ReplayGuard.capacity)))
        #expect(replayGuard.admit(signature(0)))
        #expect(!replayGuard.admit(signature(2)))
    }
}
