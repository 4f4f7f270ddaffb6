/// What was typed, over all sessions of all kernels of a user: an SQLite file opened when it is first needed.
///
/// A session is one run of a kernel or of a subshell; its lines are numbered like the cells of the notebook.
public final class CellHistory: Sendable {
    /// One cell.
    public struct Entry: Sendable, Equatable {
        public var session: Int
        public var line: Int
        public var input: String
        /// `text/plain` of the cell's value.
        public var output: String?

        public init(session: Int, line: Int, input: String, output: String? = nil) {
            self.session = session
            self.line = line
            self.input = input
            self.output = output
        }
    }

    private static let schema = """
        CREATE TABLE IF NOT EXISTS sessions (session INTEGER PRIMARY KEY AUTOINCREMENT, started TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')));
        CREATE TABLE IF NOT EXISTS cells (session INTEGER NOT NULL, line INTEGER NOT NULL, input TEXT NOT NULL, output TEXT, PRIMARY KEY (session, line)) WITHOUT ROWID;
        """

    private let database: LazyDatabase

    /// - Parameter file: a path, or `:memory:`; `nil` for `history.sqlite` in the data folder.
    public init(file: String? = nil) { database = LazyDatabase(file: file ?? dataFolder() + "/history.sqlite", schema: Self.schema) }

    /// - Returns: the number of a new session.
    public func beginSession() throws(RecordsError) -> Int {
        try database.use { database throws(RecordsError) in
            try database.run("INSERT INTO sessions DEFAULT VALUES")
            return database.lastInsertedID
        }
    }

    public func append(_ entries: [Entry]) throws(RecordsError) {
        try database.use { database throws(RecordsError) in
            try database.transaction { () throws(RecordsError) in
                for entry in entries {
                    try database.run(
                        "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?)",
                        [.integer(entry.session), .integer(entry.line), .text(entry.input), SQLValue(entry.output)])
                }
            }
        }
    }

    /// The last `count` cells of all sessions, oldest first.
    public func tail(_ count: Int) throws(RecordsError) -> [Entry] {
        try entries("SELECT * FROM cells ORDER BY session DESC, line DESC LIMIT ?", [.integer(max(0, count))]).reversed()
    }

    /// Cells of one session, `start ≤ line < stop`.
    public func range(session: Int, start: Int, stop: Int?) throws(RecordsError) -> [Entry] {
        try entries(
            "SELECT * FROM cells WHERE session = ? AND line >= ? AND line < ? ORDER BY line",
            [.integer(session), .integer(start), .integer(stop ?? .max)])
    }

    /// Cells whose input matches a pattern in which `*` stands for any text and `?` for one character; oldest first.
    /// - Parameters:
    ///   - count: the last so many; `nil` for all.
    ///   - unique: keep only the last of equal inputs.
    public func search(_ pattern: String, count: Int? = nil, unique: Bool = false) throws(RecordsError) -> [Entry] {
        let glob = pattern.replacing("[", with: "[[]")
        let columns = unique ? "SELECT session, line, input, output FROM (SELECT *, MAX(session * 1000000 + line) AS last FROM cells WHERE input GLOB ? GROUP BY input)"
            : "SELECT * FROM cells WHERE input GLOB ?"
        return try entries("\(columns) ORDER BY session DESC, line DESC LIMIT ?", [.text(glob), .integer(count.map { max(0, $0) } ?? -1)]).reversed()
    }

    private func entries(_ sql: String, _ values: [SQLValue]) throws(RecordsError) -> [Entry] {
        try database.use { database throws(RecordsError) in
            try database.run(sql, values).map { row in
                Entry(session: row[0].integer ?? 0, line: row[1].integer ?? 0, input: row[2].text ?? "", output: row[3].text)
            }
        }
    }
}
