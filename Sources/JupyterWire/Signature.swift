import CCrypto
import Threads

/// Signs messages with HMAC under the connection's key: lower-case hexadecimal of HMAC(key, header ‖ parent ‖ metadata ‖ content).
/// Buffers are not signed. With an empty key signatures are empty and nothing is checked.
///
/// `@unchecked Sendable`: the keyed context is only duplicated after `init`, never changed.
public final class Signer: @unchecked Sendable {
    private let keyed: OpaquePointer?

    /// - Parameter scheme: `hmac-` and the name of a digest, `hmac-sha256` as a rule.
    /// - Throws: `ConnectionError` when libcrypto does not know the digest.
    public init(key: String, scheme: String = "hmac-sha256") throws(ConnectionError) {
        guard !key.isEmpty else {
            keyed = nil
            return
        }
        let digest = scheme.hasPrefix("hmac-") ? String(scheme.dropFirst(5)) : ""
        guard EVP_get_digestbyname(digest) != nil, let context = Self.context(key: key, digest: digest) else {
            throw ConnectionError("signature scheme “\(scheme)” is not supported; jupyter uses hmac-sha256")
        }
        keyed = context
    }

    deinit { EVP_MAC_CTX_free(keyed) }

    private static func context(key: String, digest: String) -> OpaquePointer? {
        let hmac = EVP_MAC_fetch(nil, "HMAC", nil)
        defer { EVP_MAC_free(hmac) }
        guard let context = EVP_MAC_CTX_new(hmac) else { return nil }
        var name = Array(digest.utf8CString)
        let key = Array(key.utf8)
        // A parameter keeps pointers to its name and its value: both must live until the call that reads them.
        let isReady = OSSL_MAC_PARAM_DIGEST.withCString { parameter in
            name.withUnsafeMutableBufferPointer { name in
                var parameters = [OSSL_PARAM_construct_utf8_string(parameter, name.baseAddress, 0), OSSL_PARAM_construct_end()]
                return EVP_MAC_init(context, key, key.count, &parameters) == 1
            }
        }
        if isReady { return context }
        EVP_MAC_CTX_free(context)
        return nil
    }

    public var isEnabled: Bool { keyed != nil }

    /// The signature of four JSON frames, as its frame on the wire.
    public func sign(_ parts: some Sequence<[UInt8]>) -> [UInt8] {
        guard let keyed, let context = EVP_MAC_CTX_dup(keyed) else { return [] }
        defer { EVP_MAC_CTX_free(context) }
        for part in parts { EVP_MAC_update(context, part, part.count) }
        var length = 0
        let digest = [UInt8](unsafeUninitializedCapacity: 64) { buffer, count in
            EVP_MAC_final(context, buffer.baseAddress, &length, buffer.count)
            count = length
        }
        return hexadecimal(digest)
    }

    /// Whether `signature` belongs to the frames; compared in constant time.
    public func verify(_ signature: [UInt8], of parts: some Sequence<[UInt8]>) -> Bool {
        guard isEnabled else { return true }
        let expected = sign(parts)
        return signature.count == expected.count && CRYPTO_memcmp(signature, expected, expected.count) == 0
    }
}

private let hexDigits = Array("0123456789abcdef".utf8)

func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes {
        text.append(hexDigits[Int(byte >> 4)])
        text.append(hexDigits[Int(byte & 15)])
    }
    return text
}

/// Remembers the last 65,536 signatures of all channels, so that a captured message is accepted once only. Add a signature only after it has been verified:
/// junk must not push out real ones.
public final class ReplayGuard: Sendable {
    public static let capacity = 65_536

    /// The first 32 bytes of a digest's hexadecimal text: 128 bits, more than chance or patience can collide.
    private struct Fingerprint: Hashable, Sendable {
        var high: UInt64 = 0
        var low: UInt64 = 0

        init(_ signature: [UInt8]) {
            for (index, character) in signature.prefix(32).enumerated() {
                let digit = UInt64(character <= UInt8(ascii: "9") ? character &- UInt8(ascii: "0") : character &- UInt8(ascii: "a") &+ 10)
                if index < 16 { high = high << 4 | digit } else { low = low << 4 | digit }
            }
        }
    }

    private struct Ring: Sendable {
        var order: [Fingerprint] = []
        var seen: Set<Fingerprint> = []
        var next = 0
    }

    private let ring = Monitor(Ring())

    public init() {}

    /// Remembers a verified signature.
    /// - Returns: whether it is new.
    public func admit(_ signature: [UInt8]) -> Bool {
        let fingerprint = Fingerprint(signature)
        return ring.withLock { ring in
            guard ring.seen.insert(fingerprint).inserted else { return false }
            if ring.order.count < Self.capacity {
                ring.order.append(fingerprint)
            } else {
                ring.seen.remove(ring.order[ring.next])
                ring.order[ring.next] = fingerprint
                ring.next = (ring.next + 1) % Self.capacity
            }
            return true
        }
    }
}
