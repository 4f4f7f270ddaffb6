/// Answers a console's question at each Enter: run the cell, or wait for more lines?
package enum Completeness: String {
    case complete, incomplete, invalid

    /// A cell magic wants lines until a blank one; a line that ends in `\` or inside quotes goes on; what the parser refuses is invalid.
    package init(of code: String) {
        guard let statements = try? CellParser.parse(code) else {
            self = .invalid
            return
        }
        let source = CellSource(code)
        if let last = source.lines.last, last.last.map({ source.scalars[$0] }) == "\\" {
            self = .incomplete
        } else if case .magic(_, body: .some) = statements.first {
            let hasBlankEnd = source.lines.count > 1 && source.trimmedLine(source.lines.count - 1).isEmpty
            self = hasBlankEnd ? .complete : .incomplete
        } else {
            self = .complete
        }
    }
}
