import JupyterWire
import Threads

/// Evaluates `user_expressions`: a magic (its value, or what it prints), a literal, or a name the configuration knows. A wrong one gives an error entry
/// and never fails the cell.
struct ExpressionEvaluator: Sendable {
    let runner: CellRunner
    let lookup: @Sendable (String) throws -> DisplayData?

    /// The entry of one expression in `execute_reply`.
    func entry(for expression: JSON, interruption: Interruption) -> JSON {
        guard let text = expression.string else {
            return Self.entry(for: CellFailure(MagicError("TypeError", "an expression must be a string")), "")
        }
        do throws(CellFailure) {
            let value = try value(of: text, interruption)
            return ["status": "ok", "data": value.bundle, "metadata": value.bundleMetadata]
        } catch {
            return Self.entry(for: error, text)
        }
    }

    private static func entry(for failure: CellFailure, _ text: String) -> JSON {
        let traceback = failure.traceback(of: text).map { JSON.string($0) }
        return ["status": "error", "ename": .string(failure.name), "evalue": .string(failure.message), "traceback": .array(traceback)]
    }

    private func value(of text: String, _ interruption: Interruption) throws(CellFailure) -> DisplayData {
        let text = trimmed(text)
        if let literal = Self.literal(text) { return DisplayData(plain: literal) }
        if text.hasPrefix("%") || text.hasPrefix("?") || text.hasSuffix("?") { return try magicValue(text, interruption) }
        do {
            if let known = try lookup(text) { return known }
        } catch {
            throw CellFailure(error)
        }
        throw CellFailure(
            MagicError("NameError", "\(quoted(text)) is not known", hint: "An expression is a magic such as %status, a number, a quoted text, or a value of the session."))
    }

    /// Numbers, `true`, `false` and quoted texts stand for themselves.
    private static func literal(_ text: String) -> String? {
        if Double(text) != nil || text == "true" || text == "false" { return text }
        guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote else { return nil }
        let inner = text.dropFirst().dropLast()
        return inner.contains(quote) ? nil : String(inner)
    }

    private func magicValue(_ text: String, _ interruption: Interruption) throws(CellFailure) -> DisplayData {
        let recorder = EventRecorder()
        let cell = CellContext(isSilent: true, interruption: interruption) { recorder.append($0) }
        let pages = try runner.run(text, in: cell)
        return recorder.value ?? pages.first ?? DisplayData(plain: recorder.printed)
    }
}

/// Keeps what a magic says.
final class EventRecorder: Sendable {
    private let events = Monitor<[CellEvent]>([])

    func append(_ event: CellEvent) { events.withLock { $0.append(event) } }

    /// The cell's value, or the first thing displayed.
    var value: DisplayData? {
        let all = events.withLock { $0 }
        for case .result(let data) in all { return data }
        for case .display(let data, _) in all { return data }
        return nil
    }

    /// Everything printed to standard output, without the last newline.
    var printed: String {
        var text = ""
        for case .output(let part) in events.withLock({ $0 }) { text += part }
        if text.hasSuffix("\n") { text.removeLast() }
        return text
    }
}
