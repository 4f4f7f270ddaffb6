/// A table while its document is being read: unlike the finished one it knows how it came about, which says who may still add to it.
final class TOMLNode {
    enum Origin {
        /// Named by a header of its own, or the root.
        case header
        /// Only stands in the path of a header.
        case implied
        /// Only stands in the path of a dotted key.
        case dotted
    }

    /// The tables of `[[…]]`; a class, so that one more costs the same however many there are.
    final class Series { var nodes: [TOMLNode] = [] }

    private enum Content {
        case value(TOMLValue)
        case table(TOMLNode)
        case series(Series)
    }

    /// What may not be written.
    struct Conflict: Error {
        let reason: String
        init(_ key: String, _ rest: String) { reason = "“\(key.prefix(60))” \(rest)" }
    }

    private var origin: Origin
    private var keys: [String] = []
    private var contents: [String: (content: Content, line: Int)] = [:]

    init(_ origin: Origin) { self.origin = origin }

    /// The finished table.
    var table: TOMLTable {
        var table = TOMLTable()
        for key in keys {
            guard let (content, line) = contents[key] else { continue }
            let value: TOMLValue = switch content {
            case .value(let value): value
            case .table(let node): .table(node.table)
            case .series(let series): .array(series.nodes.map { .table($0.table) })
            }
            table.append(key, value, line: line)
        }
        return table
    }

    private func add(_ key: String, _ content: Content, line: Int) {
        keys.append(key)
        contents[key] = (content, line)
    }

    /// `a.b = value`.
    func set(_ path: [String], to value: TOMLValue, line: Int) throws(Conflict) {
        var node = self
        for key in path.dropLast() { node = try node.stepByDot(key, line: line) }
        guard let key = path.last else { return }
        if let present = node.contents[key] { throw Conflict(key, "stands on line \(present.line) already") }
        node.add(key, .value(value), line: line)
    }

    /// `[a.b]`.
    func header(_ path: [String], line: Int) throws(Conflict) -> TOMLNode {
        let parent = try parent(of: path, line: line)
        guard let key = path.last else { return parent }
        switch parent.contents[key] {
        case nil:
            let node = TOMLNode(.header)
            parent.add(key, .table(node), line: line)
            return node
        case (.table(let node), _)? where node.origin == .implied:
            node.origin = .header
            return node
        case let present?: throw Conflict(key, "stands on line \(present.line) already")
        }
    }

    /// `[[a.b]]`.
    func element(_ path: [String], line: Int) throws(Conflict) -> TOMLNode {
        let parent = try parent(of: path, line: line), node = TOMLNode(.header)
        guard let key = path.last else { return node }
        switch parent.contents[key] {
        case nil:
            let series = Series()
            series.nodes = [node]
            parent.add(key, .series(series), line: line)
        case (.series(let series), _)?: series.nodes.append(node)
        case let present?: throw Conflict(key, "stands on line \(present.line) already, and not in [[ ]]")
        }
        return node
    }

    private func parent(of path: [String], line: Int) throws(Conflict) -> TOMLNode {
        var node = self
        for key in path.dropLast() { node = try node.stepByHeader(key, line: line) }
        return node
    }

    private func stepByHeader(_ key: String, line: Int) throws(Conflict) -> TOMLNode {
        switch contents[key] {
        case nil:
            let node = TOMLNode(.implied)
            add(key, .table(node), line: line)
            return node
        case (.table(let node), _)?: return node
        case (.series(let series), let line)?:
            guard let last = series.nodes.last else { throw Conflict(key, "on line \(line) is empty") }
            return last
        case (.value, let line)?: throw Conflict(key, "on line \(line) is a value, and nothing can be added to it")
        }
    }

    private func stepByDot(_ key: String, line: Int) throws(Conflict) -> TOMLNode {
        switch contents[key] {
        case nil:
            let node = TOMLNode(.dotted)
            add(key, .table(node), line: line)
            return node
        case (.table(let node), _)? where node.origin != .header:
            node.origin = .dotted
            return node
        case (.table, let line)?, (.series, let line)?: throw Conflict(key, "on line \(line) is a table of its own, and only its header adds to it")
        case (.value, let line)?: throw Conflict(key, "on line \(line) is a value, and nothing can be added to it")
        }
    }
}
