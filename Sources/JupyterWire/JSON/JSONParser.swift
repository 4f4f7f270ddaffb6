/// A strict RFC 8259 parser with two leniences: a lone surrogate escape (`\ud800`) becomes U+FFFD, and a key given twice keeps its last value.
struct JSONParser {
    /// Arrays and objects within each other; deeper input is refused, so a hostile message cannot exhaust the stack.
    static let depthLimit = 512

    private let bytes: UnsafeBufferPointer<UInt8>
    private var offset = 0
    private var depth = 0

    /// - Throws: `JSONError` with the place in bytes.
    static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw JSONError(reason: .invalidUTF8, offset: 0) }
        let result: Result<JSON, JSONError> = bytes.withUnsafeBufferPointer { buffer in
            var parser = JSONParser(bytes: buffer)
            do throws(JSONError) {
                return .success(try parser.parseDocument())
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private mutating func parseDocument() throws(JSONError) -> JSON {
        let value = try parseValue()
        skipWhitespace()
        if offset < bytes.count { throw error(.trailingBytes) }
        return value
    }

    private func error(_ reason: JSONError.Reason) -> JSONError { JSONError(reason: reason, offset: offset) }

    private func unexpected() -> JSONError {
        offset < bytes.count ? error(.unexpectedByte(bytes[offset])) : error(.unexpectedEnd)
    }

    private mutating func skipWhitespace() {
        while offset < bytes.count, bytes[offset] == 0x20 || bytes[offset] == 0x0A || bytes[offset] == 0x0D || bytes[offset] == 0x09 { offset += 1 }
    }

    private mutating func consume(_ byte: UInt8) -> Bool {
        guard offset < bytes.count, bytes[offset] == byte else { return false }
        offset += 1
        return true
    }

    private mutating func parseValue() throws(JSONError) -> JSON {
        skipWhitespace()
        guard offset < bytes.count else { throw error(.unexpectedEnd) }
        switch bytes[offset] {
        case UInt8(ascii: "{"): return try nested { parser throws(JSONError) in try parser.parseObject() }
        case UInt8(ascii: "["): return try nested { parser throws(JSONError) in try parser.parseArray() }
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        default: return try parseNumber()
        }
    }

    private mutating func nested(_ body: (inout JSONParser) throws(JSONError) -> JSON) throws(JSONError) -> JSON {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.depthLimit { throw error(.tooDeep(limit: Self.depthLimit)) }
        offset += 1
        return try body(&self)
    }

    private mutating func parseObject() throws(JSONError) -> JSON {
        var members: [String: JSON] = [:]
        skipWhitespace()
        if consume(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipWhitespace()
            guard offset < bytes.count, bytes[offset] == UInt8(ascii: "\"") else { throw unexpected() }
            let key = try parseString()
            skipWhitespace()
            guard consume(UInt8(ascii: ":")) else { throw unexpected() }
            members[key] = try parseValue()
            skipWhitespace()
            if consume(UInt8(ascii: "}")) { return .object(members) }
            guard consume(UInt8(ascii: ",")) else { throw unexpected() }
        }
    }

    private mutating func parseArray() throws(JSONError) -> JSON {
        var elements: [JSON] = []
        skipWhitespace()
        if consume(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try parseValue())
            skipWhitespace()
            if consume(UInt8(ascii: "]")) { return .array(elements) }
            guard consume(UInt8(ascii: ",")) else { throw unexpected() }
        }
    }

    private mutating func parseWord(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for index in 0..<word.utf8CodeUnitCount {
            guard consume(word.utf8Start[index]) else { throw unexpected() }
        }
        return value
    }

    private mutating func parseString() throws(JSONError) -> String {
        offset += 1
        let start = offset
        while offset < bytes.count, bytes[offset] != UInt8(ascii: "\""), bytes[offset] != UInt8(ascii: "\\"), bytes[offset] >= 0x20 { offset += 1 }
        let plain = UnsafeBufferPointer(rebasing: bytes[start..<offset])
        if consume(UInt8(ascii: "\"")) { return String(decoding: plain, as: UTF8.self) }
        var text = Array(plain)
        while offset < bytes.count {
            let byte = bytes[offset]
            guard byte >= 0x20 else { throw unexpected() }
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try parseEscape(into: &text)
            default: text.append(byte)
            }
        }
        throw error(.unexpectedEnd)
    }

    private mutating func parseEscape(into text: inout [UInt8]) throws(JSONError) {
        guard offset < bytes.count else { throw error(.unexpectedEnd) }
        let byte = bytes[offset]
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(Character(try parseUnicodeEscape())).utf8)
        default: throw error(.invalidEscape)
        }
    }

    /// The scalar of `\uXXXX` or of a pair `\uD8xx\uDCxx`; half a pair gives U+FFFD.
    private mutating func parseUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let first = try parseHex4()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let afterFirst = offset
        if first < 0xDC00, consume(UInt8(ascii: "\\")), consume(UInt8(ascii: "u")) {
            let second = try parseHex4()
            if (0xDC00...0xDFFF).contains(second), let pair = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) { return pair }
        }
        offset = afterFirst
        return "\u{FFFD}"
    }

    private mutating func parseHex4() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard offset < bytes.count, let digit = Character(Unicode.Scalar(bytes[offset])).hexDigitValue else { throw error(.invalidEscape) }
            value = value << 4 + UInt32(digit)
            offset += 1
        }
        return value
    }

    private mutating func parseNumber() throws(JSONError) -> JSON {
        let start = offset
        var isWhole = true
        _ = consume(UInt8(ascii: "-"))
        guard let first = digit() else { throw unexpected() }
        if first == UInt8(ascii: "0"), digit() != nil { throw error(.invalidNumber) }
        while digit() != nil {}
        if consume(UInt8(ascii: ".")) {
            isWhole = false
            guard digit() != nil else { throw unexpected() }
            while digit() != nil {}
        }
        if consume(UInt8(ascii: "e")) || consume(UInt8(ascii: "E")) {
            isWhole = false
            if !consume(UInt8(ascii: "+")) { _ = consume(UInt8(ascii: "-")) }
            guard digit() != nil else { throw unexpected() }
            while digit() != nil {}
        }
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<offset]), as: UTF8.self)
        if isWhole, let value = Int(text) { return .integer(value) }
        guard let value = Double(text) else { throw error(.invalidNumber) }
        return .number(value)
    }

    private mutating func digit() -> UInt8? {
        guard offset < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[offset]) else { return nil }
        offset += 1
        return bytes[offset - 1]
    }
}

extension JSON {
    /// Parses UTF-8 text.
    /// - Throws: `JSONError` with the place in bytes.
    public init(parsing bytes: [UInt8]) throws(JSONError) { self = try JSONParser.parse(bytes) }
}
