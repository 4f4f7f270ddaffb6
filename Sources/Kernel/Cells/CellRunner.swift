import JupyterWire
import Threads

/// Runs the statements of a cell in order, stopping at the first error. Knows nothing of messages.
struct CellRunner: Sendable {
    let table: MagicTable
    /// Held by a cell while it runs a magic that changes the session: two of those never run at once.
    let session: SessionLock

    /// - Returns: pages to show in the pager (answers to `name?`).
    /// - Throws: `CellFailure` with the place in the cell.
    func run(_ code: String, in cell: CellContext) throws(CellFailure) -> [DisplayData] {
        var pages: [DisplayData] = []
        let statements: [CellStatement]
        do {
            statements = try CellParser.parse(code)
        } catch {
            throw CellFailure(error)
        }
        for statement in statements {
            if cell.isInterrupted { throw CellFailure(KeyboardInterrupt()) }
            switch statement {
            case .list: cell.write(table.specifications.overview)
            case .help(let topic, let range): pages.append(try page(about: topic, range))
            case .magic(let line, let body): try run(line, body, in: cell)
            }
        }
        return pages
    }

    private func page(about topic: String, _ range: Range<Int>) throws(CellFailure) -> DisplayData {
        if topic.isEmpty { return DisplayData(plain: table.specifications.overview) }
        do {
            let specification = try table.magic(named: topic, marker: "%").specification
            return DisplayData(plain: specification.helpText, markdown: specification.helpMarkdown)
        } catch {
            throw CellFailure(error, range: range)
        }
    }

    private func run(_ line: MagicLine, _ body: MagicBodyText?, in cell: CellContext) throws(CellFailure) {
        let (magic, call) = try resolve(line, body)
        do {
            try session.run(magic.specification.runsAlongside ? nil : magic.specification.name) { try magic.run(call, in: cell) }
        } catch {
            let argument = (error as? MagicError)?.argument.flatMap { call.ranges[$0] }
            throw CellFailure(error, range: error is KeyboardInterrupt ? nil : argument.map { $0.shifted(by: line.argumentsOffset) } ?? line.nameRange)
        }
    }

    private func resolve(_ line: MagicLine, _ body: MagicBodyText?) throws(CellFailure) -> (any Magic, MagicCall) {
        let magic: any Magic
        do {
            magic = try table.magic(named: line.name, marker: body == nil ? "%" : "%%")
            if let body { try Self.checkBody(body, of: magic.specification) }
        } catch {
            throw CellFailure(error, range: line.nameRange)
        }
        do {
            return (magic, try ArgumentReader.call(line.arguments, magic.specification, body: body?.text, bodyLine: body?.line ?? 0))
        } catch {
            throw CellFailure(error.error, range: error.range.map { $0.shifted(by: line.argumentsOffset) } ?? line.nameRange)
        }
    }

    private static func checkBody(_ body: MagicBodyText, of specification: MagicSpecification) throws(MagicError) {
        guard specification.body == .none, !trimmed(body.text).isEmpty else { return }
        throw MagicError("%%\(specification.name) takes no lines below it", hint: "Write %\(specification.name) with one percent sign; other magics may follow it.")
    }
}

extension Range<Int> {
    func shifted(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
}

/// Keeps magics that change the session apart when subshells run cells at the same time.
final class SessionLock: Sendable {
    private let owner = Monitor<String?>(nil)

    /// - Parameter name: the magic that wants the session to itself; `nil` runs beside anything.
    /// - Throws: `MagicError` at once when another cell holds the session: waiting would block the subshell for the length of a training.
    func run(_ name: String?, _ body: () throws -> Void) throws {
        guard let name else { return try body() }
        let other: String? = owner.withLock { owner in
            if let owner { return owner }
            owner = name
            return nil
        }
        if let other {
            throw MagicError("Busy", "%\(name) cannot start: another cell is running %\(other)", hint: "Wait for that cell or interrupt it. Magics that only show something work meanwhile.")
        }
        defer { owner.withLock { $0 = nil } }
        try body()
    }
}
