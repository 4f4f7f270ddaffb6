/// One training run as it is listed.
public struct RunRecord: Sendable, Equatable {
    public enum State: String, Sendable { case running, finished, interrupted, failed }

    public var id: Int
    public var name: String
    /// ISO 8601, UTC.
    public var started: String
    /// `nil` while running, or when the process was killed.
    public var ended: String?
    public var state: State
    /// The configuration as text (JSON or TOML), as the caller wrote it.
    public var configuration: String
    /// Last step recorded; 0 before the first.
    public var lastStep: Int
    /// In alphabetical order.
    public var tags: [String]
}

/// One value of a recorded series: `loss` at step 12.
public struct RunPoint: Sendable, Equatable {
    public var series: String
    /// Optimizer steps since the run began.
    public var step: Int
    /// Epochs since the run began; 1.5 is in the middle of the second.
    public var epoch: Double
    public var value: Double

    public init(series: String, step: Int, epoch: Double, value: Double) {
        self.series = series
        self.step = step
        self.epoch = epoch
        self.value = value
    }
}

/// Something that happened at a step: a changed rate, a saved file, a sample, an interrupt.
public struct RunEvent: Sendable, Equatable {
    public var step: Int
    public var kind: String
    public var detail: String
    /// ISO 8601, UTC; set by the store.
    public var date: String

    public init(step: Int, kind: String, detail: String, date: String = "") {
        self.step = step
        self.kind = kind
        self.detail = detail
        self.date = date
    }
}

/// Every training run with its series and events, in SQLite; opened when it is first used. Several kernels may share the file.
public final class RunStore: Sendable {
    private static let now = "strftime('%Y-%m-%dT%H:%M:%fZ')"
    private static let schema = """
        CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, started TEXT NOT NULL DEFAULT (\(now)), ended TEXT,
            state TEXT NOT NULL DEFAULT 'running', configuration TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS points (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, series TEXT NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL,
            value REAL, PRIMARY KEY (run, series, step)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, step INTEGER NOT NULL, kind TEXT NOT NULL,
            detail TEXT NOT NULL, date TEXT NOT NULL DEFAULT (\(now)));
        CREATE INDEX IF NOT EXISTS eventsByRun ON events (run, step);
        CREATE TABLE IF NOT EXISTS tags (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (run, tag)) WITHOUT ROWID;
        """
    private static let columns = """
        SELECT id, name, started, ended, state, configuration, (SELECT COALESCE(MAX(step), 0) FROM points WHERE run = id),
            (SELECT group_concat(tag, char(31)) FROM (SELECT tag FROM tags WHERE run = id ORDER BY tag)) FROM runs
        """

    private let database: LazyDatabase

    /// - Parameter file: a path, or `:memory:`; `nil` for `runs.sqlite` in the data folder.
    public init(file: String? = nil) { database = LazyDatabase(file: file ?? dataFolder() + "/runs.sqlite", schema: Self.schema) }

    // MARK: Writing

    /// - Returns: the id of a new run, in state `running`.
    public func create(name: String, configuration: String) throws(RecordsError) -> Int {
        try database.use { database throws(RecordsError) in
            try database.run("INSERT INTO runs (name, configuration) VALUES (?, ?)", [.text(name), .text(configuration)])
            return database.lastInsertedID
        }
    }

    /// Records points in one transaction: all or none. A point recorded twice keeps the newer value. A value that is no number is kept as missing.
    public func append(_ points: [RunPoint], to run: Int) throws(RecordsError) {
        guard !points.isEmpty else { return }
        try database.use { database throws(RecordsError) in
            try database.transaction { () throws(RecordsError) in
                for point in points {
                    try database.run(
                        "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
                        [.integer(run), .text(point.series), .integer(point.step), .real(point.epoch), point.value.isNaN ? .null : .real(point.value)])
                }
            }
        }
    }

    public func append(_ event: RunEvent, to run: Int) throws(RecordsError) {
        try database.use { database throws(RecordsError) in
            try database.run(
                "INSERT INTO events (run, step, kind, detail) VALUES (?, ?, ?, ?)",
                [.integer(run), .integer(event.step), .text(event.kind), .text(event.detail)])
        }
    }

    /// Sets the state; any state but `running` also sets the time of the end.
    public func mark(_ run: Int, _ newState: RunRecord.State) throws(RecordsError) {
        try database.use { database throws(RecordsError) in
            let end = newState == .running ? "NULL" : Self.now
            try database.run("UPDATE runs SET state = ?, ended = \(end) WHERE id = ?", [.text(newState.rawValue), .integer(run)])
        }
    }

    public func tag(_ run: Int, _ tag: String) throws(RecordsError) {
        try database.use { database throws(RecordsError) in
            try database.run("INSERT OR IGNORE INTO tags VALUES (?, ?)", [.integer(run), .text(tag)])
        }
    }

    public func untag(_ run: Int, _ tag: String) throws(RecordsError) {
        try database.use { database throws(RecordsError) in
            try database.run("DELETE FROM tags WHERE run = ? AND tag = ?", [.integer(run), .text(tag)])
        }
    }

    /// Removes a run with everything recorded for it.
    /// - Returns: whether there was one.
    @discardableResult
    public func delete(_ run: Int) throws(RecordsError) -> Bool {
        try database.use { database throws(RecordsError) in
            try !database.run("DELETE FROM runs WHERE id = ? RETURNING id", [.integer(run)]).isEmpty
        }
    }

    // MARK: Reading

    /// Runs, newest first; with a tag, only those that have it.
    public func list(tag: String? = nil, limit: Int = 1000) throws(RecordsError) -> [RunRecord] {
        try records("WHERE ?1 IS NULL OR id IN (SELECT run FROM tags WHERE tag = ?1) ORDER BY id DESC LIMIT ?2", [SQLValue(tag), .integer(limit)])
    }

    public func record(_ run: Int) throws(RecordsError) -> RunRecord? { try records("WHERE id = ?", [.integer(run)]).first }

    /// Names of what has been recorded for a run, in alphabetical order.
    public func seriesNames(of run: Int) throws(RecordsError) -> [String] {
        try database.use { database throws(RecordsError) in
            try database.run("SELECT DISTINCT series FROM points WHERE run = ? ORDER BY series", [.integer(run)]).compactMap { $0[0].text }
        }
    }

    /// A series in order of steps; a missing value is not a number.
    public func series(_ name: String, of run: Int) throws(RecordsError) -> [RunPoint] {
        try database.use { database throws(RecordsError) in
            try database.run("SELECT step, epoch, value FROM points WHERE run = ? AND series = ? ORDER BY step", [.integer(run), .text(name)]).map { row in
                RunPoint(series: name, step: row[0].integer ?? 0, epoch: row[1].real ?? 0, value: row[2].real ?? .nan)
            }
        }
    }

    /// What happened in a run, in order.
    public func events(of run: Int) throws(RecordsError) -> [RunEvent] {
        try database.use { database throws(RecordsError) in
            try database.run("SELECT step, kind, detail, date FROM events WHERE run = ? ORDER BY id", [.integer(run)]).map { row in
                RunEvent(step: row[0].integer ?? 0, kind: row[1].text ?? "", detail: row[2].text ?? "", date: row[3].text ?? "")
            }
        }
    }

    private func records(_ condition: String, _ values: [SQLValue]) throws(RecordsError) -> [RunRecord] {
        try database.use { database throws(RecordsError) in
            try database.run("\(Self.columns) \(condition)", values).map { row in
                RunRecord(
                    id: row[0].integer ?? 0, name: row[1].text ?? "", started: row[2].text ?? "", ended: row[3].text,
                    state: RunRecord.State(rawValue: row[4].text ?? "") ?? .failed, configuration: row[5].text ?? "", lastStep: row[6].integer ?? 0,
                    tags: (row[7].text ?? "").split(separator: "\u{1F}").map(String.init))
            }
        }
    }
}
