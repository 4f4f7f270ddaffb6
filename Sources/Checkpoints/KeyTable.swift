import TensorCore

/// The names of one checkpoint format in terms of another's, as rules that are read in both directions.
///
/// A rule names a scope or a whole key: with `input_blocks.0.0` for `conv_in`, `input_blocks.0.0.weight` is `conv_in.weight`. The longest
/// rule that fits counts.
public struct KeyTable: Sendable {
    /// How a stored tensor becomes the one that has the new name.
    public enum Form: Sendable, Equatable {
        case same
        /// The n-th of three equal parts along the first axis: query, key and value in one.
        case third(Int)
        /// Rows and columns exchanged.
        case transposed
        /// A matrix that some files hold as a 1×1 kernel, `[C, C, 1, 1]`.
        case matrix
    }

    public struct Rule: Sendable {
        public let original: String, name: String, form: Form

        public init(_ original: String, _ name: String, _ form: Form = .same) {
            (self.original, self.name, self.form) = (original, name, form)
        }
    }

    private let byName: [String: Rule]
    private let byOriginal: [String: [Rule]]

    public init(_ rules: [Rule]) {
        byName = Dictionary(rules.map { ($0.name, $0) }) { first, _ in first }
        byOriginal = Dictionary(grouping: rules, by: \.original)
    }

    /// The stored key and form behind a name; nil when no rule fits.
    public func original(of name: String) -> (key: String, form: Form)? {
        Self.longest(name) { byName[$0] }.map { rule, rest in (rule.original + rest, rule.form) }
    }

    /// The names that a stored key gives: three for a fused one, none when no rule fits.
    public func names(of key: String) -> [(name: String, form: Form)] {
        guard let (rules, rest) = Self.longest(key, { byOriginal[$0] }) else { return [] }
        return rules.map { ($0.name + rest, $0.form) }
    }

    /// What is found for the key or the longest scope of it, and the rest of the key.
    private static func longest<Found>(_ key: String, _ find: (String) -> Found?) -> (Found, rest: String)? {
        var scope = Substring(key)
        while true {
            if let found = find(String(scope)) { return (found, String(key[scope.endIndex...])) }
            guard let dot = scope.lastIndex(of: ".") else { return nil }
            scope = scope[..<dot]
        }
    }
}

/// Part of a file under the names that a key table gives; tensors are renamed, split and turned as they are read.
public final class RenamedWeights: WeightFile {
    public let location: String
    public let entries: [String: StoredEntry]
    /// Stored keys under the prefix for which the table has no name.
    public let unknown: [String]
    private let file: any WeightFile
    private let origins: [String: (key: String, form: KeyTable.Form)]

    /// - Parameter prefix: the part of the file that the table is about; it ends with a dot or is empty.
    public init(_ file: any WeightFile, under prefix: String, table: KeyTable) {
        var entries: [String: StoredEntry] = [:], origins: [String: (key: String, form: KeyTable.Form)] = [:], unknown: [String] = []
        for (key, entry) in file.entries where key.hasPrefix(prefix) {
            let names = table.names(of: String(key.dropFirst(prefix.count)))
            if names.isEmpty { unknown.append(key) }
            for (name, form) in names {
                origins[name] = (key, form)
                entries[name] = StoredEntry(dtype: entry.dtype, shape: form.shape(entry.shape))
            }
        }
        (self.file, self.entries, self.origins, location, self.unknown) = (file, entries, origins, file.location, unknown.sorted())
    }

    public var files: [MappedFile] { file.files }

    /// The stored key behind a name.
    public func original(of name: String) -> String? { origins[name]?.key }

    public func tensor(_ name: String, rows: Range<Int>?) throws(CheckpointError) -> Tensor {
        guard let (key, form) = origins[name], let shape = entries[name]?.shape else { throw .missingKey(name, file: location) }
        switch form {
        case .same: return try file.tensor(key, rows: rows)
        case .third(let part):
            let count = shape.first ?? 0
            let rows = rows ?? 0..<count
            return try file.tensor(key, rows: (part * count + rows.lowerBound)..<(part * count + rows.upperBound))
        case .matrix:
            let found = try file.tensor(key, rows: rows)
            return found.reshaped([found.shape.first ?? 0] + shape.dropFirst())
        case .transposed:
            let turned = try file.tensor(key, rows: nil).transposed([1, 0])
            return rows.map { turned.sliced(axis: 0, from: $0.lowerBound, to: $0.upperBound) } ?? turned
        }
    }

    public func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        guard let key = origins[name]?.key else { throw .missingKey(name, file: location) }
        let found = entries[name]?.shape ?? []
        guard found == shape else { throw .shapeMismatch(key: key, expected: shape, found: found, file: location) }
        return try tensor(name, rows: nil)
    }
}

extension KeyTable.Form {
    /// The shape of the named tensor; one that cannot be brought into this form has a size of −1, which no model asks for.
    fileprivate func shape(_ stored: [Int]) -> [Int] {
        switch self {
        case .same: stored
        case .third: stored.first.map { $0 % 3 == 0 ? [$0 / 3] + stored.dropFirst() : [-1] + stored.dropFirst() } ?? stored
        case .transposed: stored.count == 2 ? [stored[1], stored[0]] : [-1]
        case .matrix: stored.count == 4 && stored[2...] == [1, 1] ? Array(stored[..<2]) : stored
        }
    }
}
