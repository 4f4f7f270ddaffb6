/// A failure as a front end shows it.
struct CellFailure: Error, Equatable {
    var name: String
    var message: String
    var hint: String?
    /// Code points of the cell to point at.
    var range: Range<Int>?

    init(_ error: any Error, range: Range<Int>? = nil) {
        self.range = range
        switch error {
        case let error as MagicError:
            (name, message, hint) = (error.name, error.message, error.hint)
        case let fault as CellFault:
            (name, message, hint) = (fault.error.name, fault.error.message, fault.error.hint)
            self.range = fault.range
        case is KeyboardInterrupt:
            (name, message, hint) = ("KeyboardInterrupt", "the cell was interrupted", nil)
        default:
            (name, message, hint) = ("\(type(of: error))", "\(error)", nil)
        }
    }

    /// `ename: evalue`, the line of the cell with a caret below the part at fault, the way out. ANSI colours; no frames of the kernel's own.
    func traceback(of code: String) -> [String] {
        var lines = ["\u{1B}[31m\(name)\u{1B}[0m: \(message)"]
        if let range { lines += Self.pointing(at: range, in: CellSource(code)) }
        if let hint { lines.append(hint) }
        return lines
    }

    private static func pointing(at range: Range<Int>, in source: CellSource) -> [String] {
        let index = source.lineIndex(at: range.lowerBound)
        let line = source.lines[index]
        let gutter = "line \(index + 1) | "
        let text = source.text(line).filter { $0 != "\r" }
        let start = min(range.lowerBound, line.upperBound) - line.lowerBound
        let width = max(1, min(range.upperBound, line.upperBound) - line.lowerBound - start)
        let indent = source.scalars[line.lowerBound..<line.lowerBound + start].map { $0 == "\t" ? "\t" : " " }.joined()
        return ["  " + gutter + text, "  " + String(repeating: " ", count: gutter.count) + indent + "\u{1B}[31m" + String(repeating: "^", count: width) + "\u{1B}[0m"]
    }
}
