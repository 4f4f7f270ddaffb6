import Foundation
import TestSupport
import Testing

import TOML

@Suite("TOML 1.0.0")
struct TOMLTableTests {
    /// A text with what Python's tomllib reads from it; without a value it must be refused.
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let text: String
        let value: Expected?
        var testDescription: String { text.debugDescription }
    }

    /// A type's name and the value.
    indirect enum Expected: Decodable, Sendable {
        case plain(type: String, String), boolean(Bool), array([Expected]), table([Pair])

        struct Pair: Decodable, Sendable {
            let key: String, value: Expected
            init(from decoder: any Decoder) throws {
                var container = try decoder.unkeyedContainer()
                key = try container.decode(String.self)
                value = try container.decode(Expected.self)
            }
        }

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            switch try container.decode(String.self) {
            case "boolean": self = .boolean(try container.decode(Bool.self))
            case "array": self = .array(try container.decode([Expected].self))
            case "table": self = .table(try container.decode([Pair].self))
            case let type: self = .plain(type: type, try container.decode(String.self))
            }
        }

        func matches(_ value: TOMLValue) -> Bool {
            switch (self, value) {
            case (.boolean(let wanted), .boolean(let found)): wanted == found
            case (.plain("string", let wanted), .string(let found)): Array(wanted.unicodeScalars) == Array(found.unicodeScalars)
            case (.plain("integer", let wanted), .integer(let found)): wanted == String(found)
            case (.plain("float", let wanted), .float(let found)): wanted == "nan" ? found.isNaN : Double(wanted)?.bitPattern == found.bitPattern
            case (.plain("date-time", let wanted), .dateTime(let found)): wanted.prefix(8) == found.prefix(8)
            case (.array(let wanted), .array(let found)): wanted.count == found.count && zip(wanted, found).allSatisfy { $0.matches($1) }
            case (.table(let wanted), .table(let found)):
                wanted.count == found.keys.count && wanted.allSatisfy { pair in found[pair.key].map(pair.value.matches) ?? false }
            default: false
            }
        }
    }

    static let cases: [Case] = {
        do {
            return try JSONDecoder().decode([Case].self, from: Data(contentsOf: URL(filePath: Golden.path("toml/cases.json"))))
        } catch {
            preconditionFailure("Tests/Fixtures/toml/cases.json: \(error)")
        }
    }()

    @Test("what the specification allows is read as Python's tomllib reads it", arguments: cases.filter { $0.value != nil })
    func valid(_ example: Case) throws {
        let table = try TOMLTable(example.text)
        #expect(example.value?.matches(.table(table)) == true, "read as \(table)")
    }

    @Test("what the specification forbids is refused at a place inside the text", arguments: cases.filter { $0.value == nil })
    func invalid(_ example: Case) {
        #expect { try TOMLTable(example.text) } throws: { error in (error as? TOMLError)?.isInside(bytes: example.text.utf8.count) == true }
    }

    @Test("errors say where, what was expected and what was found", arguments: [
        ("[[[a]]]", 1, 3, "expected a key (letters, digits, - and _, or any text in quotes), found “[”"),
        ("a = 1\r\n  b = = 2", 2, 7, "expected a value, found “=”"),
        ("lr = cosine # c", 1, 6, "expected a value, found “cosine”; text stands in quotes"),
        ("a = True", 1, 5, "expected a value, found “True”, which is written true"),
        ("a = None", 1, 5, "expected a value, found “None”; leave the line out instead"),
        ("a =", 1, 4, "expected a value, found the end of the text"),
        ("\n\na = [1,\n2\n", 3, 5, "this “[” is never closed"),
        ("a = '''x\n\n", 1, 5, "this text is never closed: ''' is missing"),
        ("a = \"C:\\data\"", 1, 8, "“\\d” stands for nothing; write \\\\ for a backslash, or the text in single quotes"),
        ("a = 99999999999999999999", 1, 5, "“99999999999999999999” is outside −2⁶³ to 2⁶³ − 1, the whole numbers that TOML has"),
        ("a = 1\n[b]\na = 2\nc = 3\na = 4", 5, 1, "“a” stands on line 3 already"),
        ("a = 1\u{0}", 1, 6, "expected the end of the line, found the control character U+0000"),
        ("a = 1 b = 2", 1, 7, "expected the end of the line, found “b”"),
    ])
    func places(text: String, line: Int, column: Int, reason: String) {
        #expect { try TOMLTable(text) } throws: { error in
            guard let error = error as? TOMLError else { return false }
            return (error.line, error.column, error.reason) == (line, column, reason)
        }
    }

    @Test("bytes that are no UTF-8 are refused where they stand")
    func invalidUTF8() {
        #expect { try TOMLTable(utf8: Array("a = 1\nb = \"".utf8) + [0xC3, 0x28, 0x22]) } throws: { error in
            (error as? TOMLError).map { ($0.line, $0.column) == (2, 6) } == true
        }
    }

    @Test("depth has a limit, on a thread with a small stack, too", arguments: [
        String(repeating: "[", count: 100_000), "a = " + String(repeating: "[", count: 100_000), "a = " + String(repeating: "{a = ", count: 100_000),
        "a" + String(repeating: ".a", count: 200_000) + " = 1", "[a" + String(repeating: ".a", count: 200_000) + "]",
        "[a" + String(repeating: ".a", count: 90) + "]\nb" + String(repeating: ".b", count: 90) + " = 1",
    ])
    func depth(text: String) {
        #expect(Self.onSmallStack { (try? TOMLTable(text)) == nil })
    }

    @Test("a hundred levels are read")
    func hundredLevels() {
        let keys = "a" + String(repeating: ".a", count: 49), value = String(repeating: "[", count: 50) + String(repeating: "]", count: 50)
        #expect(Self.onSmallStack { (try? TOMLTable("\(keys) = \(value)").description) != nil })
    }

    /// Runs `body` on a thread of 512 KiB, a quarter of what the kernel's cells have at least.
    private static func onSmallStack(_ body: @escaping @Sendable () -> Bool) -> Bool {
        final class Answer: @unchecked Sendable { var value = false }               // written before the semaphore, read after it
        let answer = Answer(), done = DispatchSemaphore(value: 0)
        let thread = Thread {
            answer.value = body()
            done.signal()
        }
        thread.stackSize = 512 << 10
        thread.start()
        done.wait()
        return answer.value
    }
}

extension TOMLError {
    /// Whether the place lies in a text of so many bytes, or right behind it.
    func isInside(bytes: Int) -> Bool {
        (1...bytes + 1).contains(line) && (1...bytes + 1).contains(column) && !reason.isEmpty && self.text.unicodeScalars.count <= 160
    }
}
