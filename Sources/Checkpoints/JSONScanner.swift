/// Reads the small part of JSON that weight files use, straight from their bytes.
///
/// A general decoder would silently keep one of two equal keys and would build a tree of whatever size the file asks
/// for; here every key is seen, numbers are whole and checked for overflow, and what is not wanted is skipped without
/// being kept. RFC 8259 otherwise.
struct JSONScanner {
    struct Failure: Error { let offset: Int, reason: String }

    private let bytes: UnsafeRawBufferPointer
    private(set) var offset: Int
    /// Nesting allowed in values that are skipped.
    private static let maximumDepth = 32

    init(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0) {
        self.bytes = bytes
        self.offset = offset
    }

    func failure(_ reason: String) -> Failure { Failure(offset: offset, reason: reason) }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    /// Moves past `byte` if it comes next.
    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard next == byte.asciiValue else { return false }
        offset += 1
        return true
    }

    private var found: String {
        guard let byte = next else { return "the end" }
        return byte > 0x20 && byte < 0x7F ? "'\(Character(UnicodeScalar(byte)))'" : "byte \(byte)"
    }

    private mutating func expect(_ byte: Character) throws(Failure) {
        if !take(byte) { throw failure("expected '\(byte)', found \(found)") }
    }

    /// An object; `member` is called at each value and must read or skip it.
    mutating func object<E: Error>(
        _ member: (inout JSONScanner, String) throws(E) -> Void, failing: (Failure) -> E
    ) throws(E) {
        do throws(Failure) { try expect("{") } catch { throw failing(error) }
        if take("}") { return }
        repeat {
            let key: String
            do throws(Failure) {
                key = try string()
                try expect(":")
            } catch { throw failing(error) }
            try member(&self, key)
        } while take(",")
        do throws(Failure) { try expect("}") } catch { throw failing(error) }
    }

    /// A list of at most `limit` whole numbers ≥ 0.
    mutating func wholeNumbers(atMost limit: Int) throws(Failure) -> [Int] {
        try expect("[")
        var numbers: [Int] = []
        if take("]") { return numbers }
        repeat {
            if numbers.count == limit { throw failure("a list of more than \(limit) numbers") }
            numbers.append(try wholeNumber())
        } while take(",")
        try expect("]")
        return numbers
    }

    private mutating func wholeNumber() throws(Failure) -> Int {
        skipSpace()
        var value = 0
        let start = offset
        while let byte = next, byte >= 0x30, byte <= 0x39 {
            let (tens, overflow1) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflow2) = tens.addingReportingOverflow(Int(byte - 0x30))
            if overflow1 || overflow2 { throw failure("a number that does not fit into 63 bits") }
            value = sum
            offset += 1
        }
        if offset == start { throw failure("expected a whole number ≥ 0, found \(found)") }
        if offset - start > 1, bytes[start] == 0x30 { throw failure("a number with a leading zero") }
        if let byte = next, byte == 0x2E || byte == 0x65 || byte == 0x45 { throw failure("expected a whole number, found a fraction or exponent") }
        return value
    }

    mutating func string() throws(Failure) -> String {
        try expect("\"")
        var start = offset
        var text = ""
        while let byte = next {
            switch byte {
            case 0x22:
                text += try run(from: start)
                offset += 1
                return text
            case 0x5C:
                text += try run(from: start)
                offset += 1
                text.unicodeScalars.append(try escape())
                start = offset
            case 0..<0x20: throw failure("a control character in a string")
            default: offset += 1
            }
        }
        throw failure("a string without an end")
    }

    private func run(from start: Int) throws(Failure) -> String {
        guard let text = String(validating: bytes[start..<offset], as: UTF8.self) else {
            throw Failure(offset: start, reason: "text that is not UTF-8")
        }
        return text
    }

    private mutating func escape() throws(Failure) -> Unicode.Scalar {
        guard let byte = next else { throw failure("a string without an end") }
        offset += 1
        switch byte {
        case 0x22, 0x5C, 0x2F: return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicodeEscape()
        default: throw failure("an unknown escape in a string")
        }
    }

    private mutating func unicodeEscape() throws(Failure) -> Unicode.Scalar {
        let high = try fourHexDigits()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard high < 0xDC00, offset + 1 < bytes.count, bytes[offset] == 0x5C, bytes[offset + 1] == UInt8(ascii: "u") else {
            throw failure("half of a surrogate pair")
        }
        offset += 2
        let low = try fourHexDigits()
        guard low >= 0xDC00, low < 0xE000, let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) else {
            throw failure("half of a surrogate pair")
        }
        return scalar
    }

    private mutating func fourHexDigits() throws(Failure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue else { throw failure("expected four hexadecimal digits") }
            value = value * 16 + UInt32(digit)
            offset += 1
        }
        return value
    }

    /// Passes over any value and keeps nothing of it.
    mutating func skipValue(depth: Int = 0) throws(Failure) {
        if depth > Self.maximumDepth { throw failure("nested more than \(Self.maximumDepth) deep") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"):
            try object({ (scanner, _) throws(Failure) in try scanner.skipValue(depth: depth + 1) }, failing: { $0 })
        case UInt8(ascii: "["):
            offset += 1
            if take("]") { return }
            repeat { try skipValue(depth: depth + 1) } while take(",")
            try expect("]")
        case UInt8(ascii: "\""): _ = try string()
        default: try skipWord()
        }
    }

    /// A number, `true`, `false` or `null`.
    private mutating func skipWord() throws(Failure) {
        let start = offset
        while let byte = next, byte == 0x2B || byte == 0x2D || byte == 0x2E || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) { offset += 1 }
        guard let word = String(validating: bytes[start..<offset], as: UTF8.self), ["true", "false", "null"].contains(word) || Double(word) != nil
        else { throw Failure(offset: start, reason: "expected a value, found \(start < bytes.count ? "byte \(bytes[start])" : "the end")") }
    }

    /// Only blanks may follow.
    mutating func end() throws(Failure) {
        skipSpace()
        if next != nil { throw failure("expected the end, found \(found)") }
    }
}
