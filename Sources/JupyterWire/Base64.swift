import CCrypto

/// Base64 without line breaks, as `image/png` wants it in a mime bundle.
public enum Base64 {
    public static func encode(_ bytes: [UInt8]) -> String {
        guard !bytes.isEmpty else { return "" }
        precondition(bytes.count < Int(Int32.max) / 2, "\(bytes.count) bytes are too many for one base64 text")
        let capacity = (bytes.count + 2) / 3 * 4 + 1
        return String(unsafeUninitializedCapacity: capacity) { Int(EVP_EncodeBlock($0.baseAddress, bytes, Int32(bytes.count))) }
    }
}
