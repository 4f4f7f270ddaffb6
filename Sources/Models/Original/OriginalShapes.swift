import Checkpoints

/// Shapes of a part's tensors by name, to read its architecture from.
struct OriginalShapes {
    let shapes: [String: [Int]]
    let file: String

    init(_ file: any WeightFile, under prefix: String = "") {
        var shapes: [String: [Int]] = [:]
        for (key, entry) in file.entries where key.hasPrefix(prefix) { shapes[String(key.dropFirst(prefix.count))] = entry.shape }
        (self.shapes, self.file) = (shapes, file.location)
    }

    func contains(_ key: String) -> Bool { shapes[key] != nil }

    /// - Throws: `missingKey`, or `unexpectedArchitecture` for another rank.
    func shape(_ key: String, rank: Int) throws -> [Int] {
        guard let shape = shapes[key] else { throw CheckpointError.missingKey(key, file: file) }
        guard shape.count == rank else { throw unexpected(key, "of shape \(shape)", "\(rank) axes") }
        return shape
    }

    /// How many of `key(0)`, `key(1)` … there are, up to the first that is missing.
    func count(_ key: (Int) -> String) -> Int {
        var count = 0
        while contains(key(count)) { count += 1 }
        return count
    }

    func unexpected(_ key: String, _ found: String, _ expected: String) -> ModelFileError {
        .unexpectedArchitecture(key: key, found: found, expected: expected, file: file)
    }
}

/// How a family divides the channels of an attention into heads.
enum HeadRule {
    /// Stable Diffusion 1.
    case count(Int)
    /// Channels of each head: Stable Diffusion 2 and XL, and all of CLIP's text encoders.
    case width(Int)

    func heads(of channels: Int, file: String) throws(ModelFileError) -> Int {
        switch self {
        case .count(let count):
            guard channels % count == 0 else { throw .unknownHeads(channels: channels, rule: "\(count) heads", file: file) }
            return count
        case .width(let width):
            guard channels % width == 0 else { throw .unknownHeads(channels: channels, rule: "heads of \(width) channels", file: file) }
            return channels / width
        }
    }
}
