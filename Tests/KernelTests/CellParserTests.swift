import Kernel
import Testing

@Suite struct CellParserTests {
    private func names(_ code: String) throws -> [String] {
        try CellParser.parse(code).map { statement in
            switch statement {
            case .magic(let line, let body): "\(line.name)|\(line.arguments)" + (body.map { "|\($0.line)|\($0.text)" } ?? "")
            case .help(let topic, _): "?\(topic)"
            case .list: "%"
            }
        }
    }

    @Test("cells are taken apart", arguments: [
        ("", []), ("\n \n", []), ("# a\n// b", []), ("%a", ["a|"]), ("%a b c", ["a| b c"]), ("  %a b  ", ["a| b"]), ("%a\n\n# x\n%b 1\r\n", ["a|", "b| 1"]), ("%", ["%"]),
        ("%%a x\nbody\n", ["a| x|2|body\n"]), ("# c\n\n%%a\n%b\n", ["a||4|%b\n"]), ("%%a", ["a||2|"]), ("%a?", ["?a"]), ("%%a?", ["?a"]), ("?a", ["?a"]), ("a??", ["?a"]), ("?%a", ["?a"]), ("?", ["?"]),
        ("%a x \\\n y\n%b", ["a| x \\\n y", "b|"]), ("%a b?", ["a| b?"]), ("%a # no comment", ["a| # no comment"]),
    ] as [(String, [String])])
    func statements(code: String, expected: [String]) throws {
        #expect(try names(code) == expected)
    }

    @Test("anything else is refused, with its place", arguments: [("x", 0..<1), ("%a\n  let y = 1", 5..<14), ("%a\n%%b", 3..<6), ("a b?", 0..<4), ("x = %a", 0..<6), ("# 🙂\ny", 4..<5)] as [(String, Range<Int>)])
    func refusing(code: String, range: Range<Int>) throws {
        let fault = try #require(#expect(throws: CellFault.self) { try CellParser.parse(code) })
        #expect(fault.range == range)
        #expect(fault.error.name == "SyntaxError" && fault.error.hint != nil)
    }

    @Test("places count code points")
    func places() throws {
        guard case .magic(let line, _) = try CellParser.parse("# e\u{301}🇩🇪\n %ab c")[0] else {
            Issue.record("no magic")
            return
        }
        #expect(line.nameRange == 8..<11 && line.argumentsOffset == 11)
    }

    @Test("a console knows when a cell is complete", arguments: [
        ("", Completeness.complete), ("%a", .complete), ("%%a", .incomplete), ("%%a\nb", .incomplete), ("%%a\nb\n", .complete), ("%%a\nb\n  ", .complete), ("%a \\", .incomplete), ("nonsense", .invalid), ("%a\n%%b", .invalid),
    ] as [(String, Completeness)])
    func completeness(code: String, state: Completeness) {
        #expect(Completeness(of: code) == state)
    }

    @Test("the part of UTF-8 that ends with a character", arguments: [
        ([], 0), ([0x61], 1), ([0x61, 0xC3], 1), ([0xC3, 0xA9], 2), ([0xE2, 0x82], 0), ([0xE2, 0x82, 0xAC], 3), ([0x61, 0xF0, 0x9F, 0x99], 1), ([0xF0, 0x9F, 0x99, 0x82], 4), ([0x80, 0x80, 0x80, 0x80], 4), ([0xFF], 1),
    ] as [([UInt8], Int)])
    func completePrefix(bytes: [UInt8], count: Int) {
        // 0xFF can begin no character; it waits for three bytes at most, like the start of a four-byte one.
        #expect(StandardStreams.completePrefix(of: bytes) == (bytes == [0xFF] ? 0 : count))
    }
}
