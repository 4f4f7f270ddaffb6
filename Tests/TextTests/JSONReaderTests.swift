import Testing
import Text

@Suite struct JSONReaderTests {
    private func reading<R>(_ text: String, depthLimit: Int = 8, _ body: (inout JSONReader) throws -> R) throws -> R {
        try Array(text.utf8).withUnsafeBytes { bytes in
            var reader = JSONReader(bytes, depthLimit: depthLimit, loneSurrogates: .refused)
            let result = try body(&reader)
            try reader.end()
            return result
        }
    }

    @Test("members are seen in their order, also those given twice")
    func members() throws {
        var seen: [String] = []
        try reading(#" { "a" : 1, "b":[ {} , [] ], "a": "x" } "#) { reader in
            try reader.object { (reader, key) throws(JSONError) in
                seen.append(key)
                try reader.skipValue()
            }
        }
        #expect(seen == ["a", "b", "a"])
    }

    @Test("whole numbers are counted with, nothing else is", arguments: [
        ("[]", []), ("[0, 12 ,9223372036854775807]", [0, 12, .max]), ("[1.0]", nil), ("[1e2]", nil), ("[-1]", nil), ("[-0]", nil), ("[9223372036854775808]", nil), ("[01]", nil),
        ("[\"1\"]", nil), ("[1,2,3,4,5]", nil), ("[1,]", nil), ("[1", nil),
    ] as [(String, [Int]?)])
    func wholeNumbers(text: String, numbers: [Int]?) throws {
        #expect((try? reading(text) { try $0.wholeNumbers(atMost: 4) }) == numbers)
    }

    @Test("what is passed over must be JSON, too", arguments: [
        "nan", "Infinity", "0x1p3", "1.", ".5", "[1 2]", "{\"a\":}", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\t\"", "\"", "tru", "[[[[[[[[[]]]]]]]]]", "{} {}",
    ])
    func skipping(text: String) {
        #expect(throws: JSONError.self) { try reading(text) { try $0.skipValue() } }
    }

    @Test("depth is counted over lists and objects together")
    func depth() throws {
        try reading(#"[{"a":[{"a":[{"a":[{}]}]}]}]"#) { try $0.skipValue() }
        #expect(throws: JSONError(reason: .tooDeep(limit: 7), offset: 19)) { try reading(#"[{"a":[{"a":[{"a":[{}]}]}]}]"#, depthLimit: 7) { try $0.skipValue() } }
    }

    @Test("a string's bytes are checked where they stand")
    func invalidUTF8() {
        let bytes: [UInt8] = Array(#"{"a": ""#.utf8) + [0xC3, 0x22, 0x7D]
        #expect(throws: JSONError(reason: .invalidUTF8, offset: 7)) { try JSON(parsing: bytes) }
        #expect(throws: JSONError(reason: .invalidUTF8, offset: 1)) { try JSON(parsing: [0x22, 0x5C, 0x6E, 0xFF, 0x22]) }
    }

    @Test("what is wrong is told with what was expected and found", arguments: [
        ("[1", "expected ']', found the end"), ("{1}", "expected '\"', found '1'"), ("{\"a\" 1}", "expected ':', found '1'"), ("[\u{1}]", "expected a value, found byte 1"),
        ("\"\n\"", "a control character in a string"), ("{} x", "expected the end, found 'x'"),
    ])
    func words(text: String, said: String) {
        #expect { try JSON(parsing: Array(text.utf8)) } throws: { "\($0)" == said }
    }

    @Test("texts are written with the short escapes", arguments: [
        ("a\"b\\", #""a\"b\\""#), ("\u{8}\u{C}\n\r\t", #""\b\f\n\r\t""#), ("\u{0}\u{1F}\u{7F}", "\"\\u0000\\u001f\u{7F}\""), ("é🙂/", "\"é🙂/\""), ("", "\"\""),
    ])
    func literals(text: String, literal: String) throws {
        #expect(JSON.literal(text) == literal)
        #expect(try JSON(parsing: Array(literal.utf8)) == .string(text))
    }

    @Test("an error names a value in a few words", arguments: [
        (JSON.null, "null"), (3, "3"), (3.0, "3"), (2.5, "2.5"), (true, "true"), ("a", "\"a\""), ([1, "b"], "[1, \"b\"]"), (["x": 1], "an object of 1 keys"),
    ] as [(JSON, String)])
    func descriptions(value: JSON, text: String) { #expect(value.description == text) }
}
