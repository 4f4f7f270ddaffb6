import CSQLite
import Glibc
import Synchronization

/// A record could not be read or written: what was asked and SQLite's own words.
public struct RecordsError: Error, Equatable, Sendable, CustomStringConvertible {
    public var operation: String
    public var file: String
    public var reason: String
    public var description: String { "\(operation) in \(file): \(reason)" }
}

/// A value of a column.
enum SQLValue: Equatable {
    case null
    case integer(Int)
    case real(Double)
    case text(String)
    case blob([UInt8])

    init(_ text: String?) { self = text.map { .text($0) } ?? .null }

    var text: String? { if case .text(let value) = self { value } else { nil } }
    var integer: Int? { if case .integer(let value) = self { value } else { nil } }
    var real: Double? {
        switch self {
        case .real(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }
}

/// One connection to an SQLite file, shared by several processes: write-ahead log, five seconds of patience, mode 0600.
///
/// Not `Sendable`: its owner keeps it under a lock.
final class Database {
    private static let busyMilliseconds: Int32 = 5000
    /// "Copy the bytes": SQLITE_TRANSIENT is a cast that Swift does not import.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    private let handle: OpaquePointer
    private let file: String
    private var prepared: [String: OpaquePointer] = [:]

    /// Opens or makes the file and its folder.
    /// - Parameters:
    ///   - file: a path, or `:memory:`.
    ///   - schema: statements that may be run any number of times.
    init(file: String, schema: String) throws(RecordsError) {
        self.file = file
        if file != ":memory:" { try Self.prepareFile(file) }
        var handle: OpaquePointer?
        let status = sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nil)
        guard status == SQLITE_OK, let handle else {
            let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close(handle)
            throw RecordsError(operation: "opening", file: file, reason: reason)
        }
        self.handle = handle
        sqlite3_busy_timeout(handle, Self.busyMilliseconds)
        // Another process may be switching the same new file: then it is done already.
        sqlite3_exec(handle, "PRAGMA journal_mode = WAL", nil, nil, nil)
        try script("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -256;")
        try script(schema)
    }

    deinit {
        for statement in prepared.values { sqlite3_finalize(statement) }
        sqlite3_close(handle)
    }

    private static func prepareFile(_ file: String) throws(RecordsError) {
        if let slash = file.lastIndex(of: "/"), slash != file.startIndex { makeFolders(String(file[..<slash])) }
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw RecordsError(operation: "opening", file: file, reason: String(cString: strerror(errno))) }
        fchmod(descriptor, 0o600)
        close(descriptor)
    }

    private static func makeFolders(_ path: String) {
        guard access(path, F_OK) != 0 else { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { makeFolders(String(path[..<slash])) }
        mkdir(path, 0o700)
    }

    private func fault(_ operation: String) -> RecordsError {
        RecordsError(operation: operation, file: file, reason: String(cString: sqlite3_errmsg(handle)))
    }

    /// Runs statements without parameters and without rows.
    func script(_ sql: String) throws(RecordsError) {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw fault("running a statement") }
    }

    /// Runs one statement.
    /// - Returns: its rows.
    @discardableResult
    func run(_ sql: String, _ values: [SQLValue] = []) throws(RecordsError) -> [[SQLValue]] {
        let statement = try statement(for: sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() { bind(value, at: Int32(index + 1), of: statement) }
        var rows: [[SQLValue]] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: rows.append((0..<sqlite3_column_count(statement)).map { Self.column($0, of: statement) })
            case SQLITE_DONE: return rows
            default: throw fault("running a statement")
            }
        }
    }

    var lastInsertedID: Int { Int(sqlite3_last_insert_rowid(handle)) }

    /// Runs `body` in one transaction: all of it or nothing.
    func transaction<R>(_ body: () throws(RecordsError) -> R) throws(RecordsError) -> R {
        try script("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try script("COMMIT")
            return result
        } catch {
            sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
            throw error
        }
    }

    private func statement(for sql: String) throws(RecordsError) -> OpaquePointer {
        if let known = prepared[sql] { return known }
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK, let statement else { throw fault("preparing a statement") }
        prepared[sql] = statement
        return statement
    }

    private func bind(_ value: SQLValue, at index: Int32, of statement: OpaquePointer) {
        switch value {
        case .null: sqlite3_bind_null(statement, index)
        case .integer(let value): sqlite3_bind_int64(statement, index, Int64(value))
        case .real(let value): sqlite3_bind_double(statement, index, value)
        case .text(let value): sqlite3_bind_text(statement, index, value, Int32(clamping: value.utf8.count), Self.transient)
        case .blob(let value): sqlite3_bind_blob(statement, index, value, Int32(clamping: value.count), Self.transient)
        }
    }

    private static func column(_ index: Int32, of statement: OpaquePointer) -> SQLValue {
        switch sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: return .integer(Int(sqlite3_column_int64(statement, index)))
        case SQLITE_FLOAT: return .real(sqlite3_column_double(statement, index))
        case SQLITE_TEXT:
            let count = Int(sqlite3_column_bytes(statement, index))
            return .text(String(decoding: UnsafeBufferPointer(start: sqlite3_column_text(statement, index), count: count), as: UTF8.self))
        case SQLITE_BLOB:
            let count = Int(sqlite3_column_bytes(statement, index))
            return .blob(Array(UnsafeRawBufferPointer(start: sqlite3_column_blob(statement, index), count: count)))
        default: return .null
        }
    }
}

/// `$XDG_DATA_HOME/loralab`, by default `~/.local/share/loralab`.
public func dataFolder() -> String {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil } }
    let base = variable("XDG_DATA_HOME") ?? (variable("HOME") ?? "/tmp/loralab-\(getuid())") + "/.local/share"
    return base + "/loralab"
}

/// A database that is opened when it is first used, by one thread at a time.
final class LazyDatabase: Sendable {
    private struct State: ~Copyable {
        var database: Database?
    }

    private let file: String
    private let schema: String
    private let state = Mutex(State())

    init(file: String, schema: String) {
        self.file = file
        self.schema = schema
    }

    @discardableResult
    func use<R: Sendable>(_ body: (Database) throws(RecordsError) -> R) throws(RecordsError) -> R {
        try state.withLock { state throws(RecordsError) in
            let database: Database
            if let open = state.database {
                database = open
            } else {
                database = try Database(file: file, schema: schema)
                state.database = database
            }
            return try body(database)
        }
    }
}
