/// FNV-1a, 64 bits (Fowler, Noll and Vo): a hash that is the same in every process, for names and fingerprints. Not against malice.
package struct FNV1a {
    package private(set) var value: UInt64

    /// - Parameter seed: mixed into the start; 0 is the hash as it is published.
    package init(seed: UInt64 = 0) { value = 0xcbf2_9ce4_8422_2325 ^ seed }

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var hash = value
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        value = hash
    }

    package mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// The number's eight bytes, the lowest first.
    package mutating func add(_ number: UInt64) { withUnsafeBytes(of: number.littleEndian) { add($0) } }

    /// The value in sixteen hexadecimal digits.
    package var digits: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
