import Text
import Testing

@Suite struct JSONTests {
    @Test("values are read", arguments: [
        ("null", JSON.null), (" true ", true), ("[]", []), ("{}", [:]), ("-0", 0), ("12", 12), ("1.0", 1.0), ("-1.5e-3", -0.0015), ("\"a\\n\\u00e9\\/\"", "a\né/"),
        ("[1,[2,{\"a\":null}]]", [1, [2, ["a": nil]]]), ("{\"a\":1,\"a\":2}", ["a": 2]), ("\"\\ud83d\\ude42\"", "🙂"), ("\"\\u0000x\"", "\0x"),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
    ] as [(String, JSON)])
    func reading(text: String, value: JSON) throws {
        #expect(try JSON(parsing: Array(text.utf8)) == value)
    }

    @Test("half a surrogate pair becomes the replacement character", arguments: [
        ("\"\\ud800\"", "\u{FFFD}"), ("\"\\udfff!\"", "\u{FFFD}!"), ("\"\\ud800\\ud83d\\ude42\"", "\u{FFFD}🙂"), ("\"\\ud800\\n\"", "\u{FFFD}\n"), ("\"\\ud800\\u0041\"", "\u{FFFD}A"),
    ])
    func loneSurrogates(text: String, value: String) throws {
        #expect(try JSON(parsing: Array(text.utf8)) == .string(value))
    }

    @Test("what is not JSON is refused", arguments: [
        "", " ", "{", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "1.", ".5", "1e", "+1", "--1", "NaN", "Infinity", "tru", "nulll", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\\u12\"", "\"\n\"",
        "[1] 2", "'a'", "\u{FEFF}{}", "[1 2]",
    ])
    func refusing(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: Array(text.utf8)) }
    }

    @Test("text that is not UTF-8 is refused", arguments: [[0x22, 0xFF, 0x22], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22]] as [[UInt8]])
    func invalidUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError(reason: .invalidUTF8, offset: 1)) { try JSON(parsing: bytes) }
    }

    @Test("depth is limited")
    func depth() throws {
        func nested(_ depth: Int) -> [UInt8] { [UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth) }
        #expect(try JSON(parsing: nested(512)).array?.count == 1)
        #expect(throws: JSONError(reason: .tooDeep(limit: 512), offset: 512)) { try JSON(parsing: nested(513)) }
        #expect(throws: JSONError.self) { try JSON(parsing: nested(1_000_000)) }
    }

    @Test("writing and reading give the same value", arguments: [
        [:], ["text": "a\"b\\c\n\t\u{1}\u{1F}é🙂", "list": [1, 2.5, true, nil, ["x": [:]]], "": -3],
    ] as [JSON])
    func roundTrip(value: JSON) throws {
        #expect(try JSON(parsing: value.bytes) == value)
    }

    @Test("members are in order and numbers that are not finite become null")
    func writing() {
        let value: JSON = ["b": .number(.nan), "a": .number(.infinity), "c": 1.5]
        #expect(String(decoding: value.bytes, as: UTF8.self) == #"{"a":null,"b":null,"c":1.5}"#)
    }

    @Test("whole numbers may be written as decimals")
    func integers() {
        #expect(JSON.number(3).integer == 3)
        #expect(JSON.number(3.5).integer == nil)
        #expect(JSON.number(1e300).integer == nil)
        #expect(JSON.string("3").integer == nil)
    }
}
