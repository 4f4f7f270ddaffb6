/// Reads JSON (RFC 8259) from its bytes, value by value: as a tree (`value()`), or member by member for what is to be checked or
/// passed over without being kept.
///
/// Nothing is believed: depth is limited, so that hostile text cannot exhaust the stack; strings must be UTF-8; numbers have JSON's
/// grammar. Of keys given twice a tree keeps the last; who reads members sees each.
public struct JSONReader {
    /// What becomes of half a surrogate pair (`\ud800`).
    public enum LoneSurrogates: Sendable {
        case refused
        /// U+FFFD takes its place, as JavaScript clients expect.
        case replaced
    }

    private let bytes: UnsafeRawBufferPointer
    /// Bytes from the start.
    public private(set) var offset: Int
    private var depth = 0
    private let depthLimit: Int
    private let loneSurrogates: LoneSurrogates

    /// - Parameters:
    ///   - bytes: must outlive the reader.
    ///   - depthLimit: arrays and objects within each other.
    public init(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0, depthLimit: Int = JSON.depthLimit, loneSurrogates: LoneSurrogates = .replaced) {
        (self.bytes, self.offset, self.depthLimit, self.loneSurrogates) = (bytes, offset, depthLimit, loneSurrogates)
    }

    // MARK: Places

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private func error(_ reason: JSONError.Reason) -> JSONError { JSONError(reason: reason, offset: offset) }
    private func expected(_ what: String) -> JSONError { error(.expected(what, found: next)) }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        offset += 1
        return true
    }

    private mutating func takeAfterSpace(_ byte: Unicode.Scalar) -> Bool {
        skipSpace()
        return take(UInt8(ascii: byte))
    }

    private mutating func expect(_ byte: Unicode.Scalar) throws(JSONError) {
        if !takeAfterSpace(byte) { throw expected("'\(byte)'") }
    }

    private mutating func open(_ bracket: Unicode.Scalar) throws(JSONError) {
        skipSpace()
        if depth == depthLimit { throw error(.tooDeep(limit: depthLimit)) }
        try expect(bracket)
        depth += 1
    }

    /// Only white space may follow.
    public mutating func end() throws(JSONError) {
        skipSpace()
        if next != nil { throw expected("the end") }
    }

    // MARK: Values

    /// Any value, as a tree.
    public mutating func value() throws(JSONError) -> JSON {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"):
            var members: [String: JSON] = [:]
            try object { (reader, key) throws(JSONError) in members[key] = try reader.value() }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSON] = []
            try array { (reader) throws(JSONError) in elements.append(try reader.value()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    /// Passes over any value and keeps nothing of it.
    public mutating func skipValue() throws(JSONError) {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): try object { (reader, _) throws(JSONError) in try reader.skipValue() }
        case UInt8(ascii: "["): try array { (reader) throws(JSONError) in try reader.skipValue() }
        default: _ = try value()
        }
    }

    /// An object; `member` is called at each value and must read or skip it.
    public mutating func object(_ member: (inout JSONReader, String) throws(JSONError) -> Void) throws(JSONError) {
        try object(member, failing: { $0 })
    }

    /// The same for members that throw errors of their own.
    public mutating func object<E: Error>(_ member: (inout JSONReader, String) throws(E) -> Void, failing: (JSONError) -> E) throws(E) {
        do throws(JSONError) { try open("{") } catch { throw failing(error) }
        if !takeAfterSpace("}") {
            repeat {
                let key: String
                do throws(JSONError) {
                    key = try string()
                    try expect(":")
                } catch { throw failing(error) }
                try member(&self, key)
            } while takeAfterSpace(",")
            do throws(JSONError) { try expect("}") } catch { throw failing(error) }
        }
        depth -= 1
    }

    /// A list; `element` is called at each value and must read or skip it.
    public mutating func array(_ element: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try open("[")
        if !takeAfterSpace("]") {
            repeat { try element(&self) } while takeAfterSpace(",")
            try expect("]")
        }
        depth -= 1
    }

    /// A list of at most `limit` whole numbers ≥ 0.
    public mutating func wholeNumbers(atMost limit: Int) throws(JSONError) -> [Int] {
        var numbers: [Int] = []
        try array { (reader) throws(JSONError) in
            if numbers.count == limit { throw reader.error(.tooManyNumbers(limit: limit)) }
            numbers.append(try reader.wholeNumber())
        }
        return numbers
    }

    private mutating func wholeNumber() throws(JSONError) -> Int {
        skipSpace()
        let start = offset
        guard case .integer(let value) = try number() else { throw JSONError(reason: .notWhole, offset: start) }
        guard value >= 0, bytes[start] != UInt8(ascii: "-") else { throw JSONError(reason: .notWhole, offset: start) }
        return value
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for index in 0..<word.utf8CodeUnitCount {
            guard take(word.utf8Start[index]) else { throw expected(word.description) }
        }
        return value
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = offset
        var isWhole = true
        _ = take(UInt8(ascii: "-"))
        guard let first = digit() else { throw expected("a value") }
        if first == UInt8(ascii: "0"), digit() != nil { throw error(.invalidNumber) }
        while digit() != nil {}
        if take(UInt8(ascii: ".")) {
            isWhole = false
            try digits()
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isWhole = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        let text = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<offset]), as: UTF8.self)
        if isWhole, let value = Int(text) { return .integer(value) }
        guard let value = Double(text) else { throw error(.invalidNumber) }
        return .number(value)
    }

    private mutating func digit() -> UInt8? {
        guard let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        offset += 1
        return byte
    }

    private mutating func digits() throws(JSONError) {
        guard digit() != nil else { throw expected("a digit") }
        while digit() != nil {}
    }

    // MARK: Strings

    public mutating func string() throws(JSONError) -> String {
        try expect("\"")
        let start = offset
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { offset += 1 }
        let plain = UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
        if take(UInt8(ascii: "\"")) { return try Self.text(plain, at: start) }
        var text = Array(plain)
        while let byte = next {
            guard byte >= 0x20 else { throw error(.controlCharacter) }
            offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                return try text.withUnsafeBufferPointer { (bytes) throws(JSONError) in try Self.text(UnsafeRawBufferPointer(bytes), at: start) }
            case UInt8(ascii: "\\"): text.append(contentsOf: String(Character(try escape())).utf8)
            default: text.append(byte)
            }
        }
        throw expected("the end of the string")
    }

    private static func text(_ bytes: UnsafeRawBufferPointer, at start: Int) throws(JSONError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw JSONError(reason: .invalidUTF8, offset: start) }
        return text
    }

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        guard let byte = next else { throw expected("the end of the string") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicodeEscape()
        default: throw error(.invalidEscape)
        }
    }

    /// The scalar of `\uXXXX` or of a pair `\uD8xx\uDCxx`.
    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let first = try fourHexDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let afterFirst = offset
        if first < 0xDC00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
            let second = try fourHexDigits()
            if (0xDC00...0xDFFF).contains(second), let pair = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) { return pair }
        }
        offset = afterFirst
        if loneSurrogates == .refused { throw error(.loneSurrogate) }
        return "\u{FFFD}"
    }

    private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw error(.invalidEscape) }
            value = value << 4 + UInt32(digit)
            offset += 1
        }
        return value
    }
}

extension JSON {
    /// Arrays and objects within each other that are read.
    public static let depthLimit = 512

    /// Reads a whole text.
    ///
    /// - Throws: `JSONError` with the place in bytes.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        self = try bytes.withUnsafeBufferPointer { (bytes) throws(JSONError) in
            var reader = JSONReader(UnsafeRawBufferPointer(bytes))
            let value = try reader.value()
            try reader.end()
            return value
        }
    }
}
