import Glibc
import Records
import Testing

@Suite struct CellHistoryTests {
    private func filled() throws -> CellHistory {
        let history = CellHistory(file: ":memory:")
        let session = try history.beginSession()
        try history.append([
            .init(session: session, line: 1, input: "%echo a"), .init(session: session, line: 2, input: "%result b", output: "b"),
            .init(session: session, line: 3, input: "%echo a"), .init(session: session, line: 4, input: "[x]*?"),
        ])
        return history
    }

    @Test("tail gives the last cells, oldest first")
    func tail() throws {
        #expect(try filled().tail(2).map(\.line) == [3, 4])
        #expect(try filled().tail(0).isEmpty)
        #expect(try filled().tail(-1).isEmpty)
        #expect(try filled().tail(100).count == 4)
    }

    @Test("range includes its start and not its stop")
    func range() throws {
        #expect(try filled().range(session: 1, start: 2, stop: 4).map(\.line) == [2, 3])
        #expect(try filled().range(session: 1, start: 3, stop: nil).map(\.line) == [3, 4])
        #expect(try filled().range(session: 2, start: 1, stop: 9).isEmpty)
    }

    @Test("search knows * and ? and nothing else", arguments: [("%echo*", [1, 3]), ("*", [1, 2, 3, 4]), ("%?????", []), ("%echo ?", [1, 3]), ("[x]*", [4]), ("x", [])] as [(String, [Int])])
    func search(pattern: String, lines: [Int]) throws {
        #expect(try filled().search(pattern).map(\.line) == lines)
    }

    @Test("a unique search keeps the last of equal inputs; a count keeps the last")
    func uniqueSearch() throws {
        #expect(try filled().search("*", unique: true).map(\.line) == [2, 3, 4])
        #expect(try filled().search("*", count: 2).map(\.line) == [3, 4])
    }

    @Test("null characters and all of Unicode are kept")
    func text() throws {
        let history = CellHistory(file: ":memory:")
        let session = try history.beginSession()
        try history.append([.init(session: session, line: 1, input: "a\0b 🙂", output: "\0")])
        #expect(try history.tail(1) == [.init(session: session, line: 1, input: "a\0b 🙂", output: "\0")])
    }

    @Test("sessions of two connections have different numbers, and the file is private")
    func sharedFile() throws {
        let folder = "/tmp/history-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        let file = folder + "/deep/history.sqlite"
        let first = CellHistory(file: file), second = CellHistory(file: file)
        #expect(try first.beginSession() == 1)
        #expect(try second.beginSession() == 2)
        try second.append([.init(session: 2, line: 1, input: "x")])
        #expect(try first.tail(1).map(\.session) == [2])
        var information = stat()
        #expect(stat(file, &information) == 0 && information.st_mode & 0o777 == 0o600)
    }

    @Test("a file that cannot be opened is named in the error")
    func unopenable() throws {
        let error = #expect(throws: RecordsError.self) { try CellHistory(file: "/proc/none/x.sqlite").beginSession() }
        #expect(try #require(error).description.contains("/proc/none/x.sqlite"))
    }
}
