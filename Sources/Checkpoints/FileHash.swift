import CCrypto

/// SHA-256 over bytes that come in pieces.
public struct SHA256: ~Copyable {
    private let context: OpaquePointer

    public init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            preconditionFailure("libcrypto has no SHA-256")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    }

    /// Ends the computation: 64 lower-case hexadecimal digits.
    public consuming func hexDigest() -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        EVP_DigestFinal_ex(context, &digest, nil)
        return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// The hashes by which tools of this field name a model file.
public enum FileHash {
    /// The part of a file that the old short hash looks at, in bytes.
    static let legacyRange = 0x100000..<0x110000

    /// SHA-256 of the whole file: `ss_new_sd_model_hash`.
    public static func sha256(path: String) throws(CheckpointError) -> String { try hash(path) { 0..<$0.count } }

    /// Eight digits of the SHA-256 of 64 KiB from the first MiB on: `ss_sd_model_hash`. Two files may share it.
    public static func legacy(path: String) throws(CheckpointError) -> String {
        String(try hash(path) { min(legacyRange.lowerBound, $0.count)..<min(legacyRange.upperBound, $0.count) }.prefix(8))
    }

    /// SHA-256 of a safetensors file's tensors, without its header: `sshs_model_hash`.
    public static func tensors(path: String) throws(CheckpointError) -> String {
        _ = try SafetensorsFile(path: path)
        return try hash(path) { (8 + Int(UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))))..<$0.count }
    }

    private static func hash(_ path: String, _ range: (UnsafeRawBufferPointer) -> Range<Int>) throws(CheckpointError) -> String {
        try MappedFile(path: path).withBytes { (bytes) throws(CheckpointError) in
            var hash = SHA256()
            hash.update(UnsafeRawBufferPointer(rebasing: bytes[range(bytes)]))
            return hash.hexDigest()
        }
    }
}
