import Imaging

/// Pictures in rows and columns with a name for each: epochs × prompts × strengths.
public struct LabelledGrid: Sendable {
    public struct Row: Sendable {
        public var label: String
        /// One for each column; nil leaves the place empty.
        public var pictures: [Pixels?]
        public init(_ label: String, _ pictures: [Pixels?]) { (self.label, self.pictures) = (label, pictures) }
    }

    /// Rows under a heading of their own: one prompt with its strengths.
    public struct Section: Sendable {
        public var title: String
        public var rows: [Row]
        public init(_ title: String = "", rows: [Row]) { (self.title, self.rows) = (title, rows) }
    }

    public var title: String, subtitle: String
    public var columns: [String]
    public var sections: [Section]
    /// Points: the longer side of a picture; nil takes half the pixels of the largest one, between 128 and 288.
    public var pictureSize: Double?
    /// The column that is to be noticed, such as the latest epoch.
    public var highlightedColumn: Int?

    public init(
        columns: [String], sections: [Section], title: String = "", subtitle: String = "", pictureSize: Double? = nil, highlightedColumn: Int? = nil
    ) {
        (self.columns, self.sections, self.title, self.subtitle) = (columns, sections, title, subtitle)
        (self.pictureSize, self.highlightedColumn) = (pictureSize, highlightedColumn)
    }

    public init(
        columns: [String], rows: [Row], title: String = "", subtitle: String = "", pictureSize: Double? = nil, highlightedColumn: Int? = nil
    ) {
        self.init(
            columns: columns, sections: [Section(rows: rows)], title: title, subtitle: subtitle, pictureSize: pictureSize,
            highlightedColumn: highlightedColumn)
    }

    private static let gap = 8.0
    private static let columnStyle = TextStyle(size: 12, isBold: true, alignment: .centre, lines: 2)

    /// - Parameter scale: pixels per point.
    public func draw(scale: Double = 2) -> Pixels {
        let ruler = Canvas(width: 1, height: 1, scale: scale)
        let layout = Layout(self, ruler)
        let canvas = Canvas(width: layout.width, height: layout.height, scale: scale)
        canvas.card()
        _ = canvas.heading(title, subtitle, width: layout.width - 2 * Canvas.margin)
        drawHighlight(canvas, layout)
        for (column, label) in columns.enumerated() {
            var style = Self.columnStyle
            style.width = layout.cell.width
            if column == highlightedColumn { style.colour = .blue }
            let height = canvas.measure(label, style).height
            canvas.text(label, x: layout.x(column), y: layout.top + layout.columnLabels - 6 - height, style)
        }
        var y = layout.top + layout.columnLabels
        for section in sections {
            y += drawTitle(section, canvas, layout, y)
            for row in section.rows {
                draw(row, canvas, layout, y)
                y += layout.cell.height + Self.gap
            }
        }
        return canvas.pixels()
    }

    private func drawHighlight(_ canvas: Canvas, _ layout: Layout) {
        guard let column = highlightedColumn, columns.indices.contains(column) else { return }
        let frame = Rectangle(
            x: layout.x(column) - 4, y: layout.top - 4, width: layout.cell.width + 8, height: layout.height - layout.top - Canvas.margin + 8)
        canvas.fill(frame, Colour.blue.mixed(with: .card, 0.9), radius: 8)
    }

    private func drawTitle(_ section: Section, _ canvas: Canvas, _ layout: Layout, _ y: Double) -> Double {
        guard !section.title.isEmpty else { return 0 }
        let style = TextStyle(size: 12.5, isBold: true, width: layout.width - 2 * Canvas.margin, lines: 2)
        return canvas.text(section.title, x: Canvas.margin, y: y + 4, style).height + 12
    }

    private func draw(_ row: Row, _ canvas: Canvas, _ layout: Layout, _ y: Double) {
        if !row.label.isEmpty {
            let style = layout.rowStyle
            let height = canvas.measure(row.label, style).height
            canvas.text(row.label, x: Canvas.margin, y: y + max(0, (layout.cell.height - height) / 2), style)
        }
        for column in columns.indices {
            let place = Rectangle(x: layout.x(column), y: y, width: layout.cell.width, height: layout.cell.height)
            if column < row.pictures.count, let picture = row.pictures[column] {
                let shown = canvas.picture(picture, in: place, radius: 4)
                canvas.stroke(shown, Colour(0, 0, 0, opacity: 0.10), radius: 4)
            } else {
                canvas.fill(place, .placeholder, radius: 4)
                canvas.text("–", x: place.x + place.width / 2, y: place.y + place.height / 2 - 10, TextStyle(size: 14, colour: .faint, alignment: .centre))
            }
        }
    }

    /// Where everything is to stand, in points.
    private struct Layout {
        let cell: (width: Double, height: Double)
        let rowLabels: Double, columnLabels: Double, top: Double, width: Double, height: Double
        let rowStyle: TextStyle

        init(_ grid: LabelledGrid, _ ruler: Canvas) {
            cell = Self.cell(grid)
            let labels = grid.sections.flatMap(\.rows).map(\.label).filter { !$0.isEmpty }
            let widest = labels.map { ruler.measure($0, TextStyle(size: 12)).width }.max() ?? 0
            let labelWidth = min(widest + 2, 170)
            rowLabels = labels.isEmpty ? 0 : labelWidth + 12
            rowStyle = TextStyle(size: 12, width: labelWidth, lines: max(2, min(7, Int(cell.height / 17))))
            let inner = Double(grid.columns.count) * (cell.width + LabelledGrid.gap) - LabelledGrid.gap
            let content = rowLabels + max(inner, grid.title.isEmpty ? 0 : 260)
            width = 2 * Canvas.margin + content
            top = max(Canvas.margin, ruler.heading(grid.title, grid.subtitle, width: content) + (grid.title.isEmpty && grid.subtitle.isEmpty ? 0 : 12))
            var style = LabelledGrid.columnStyle
            style.width = cell.width
            let highest = grid.columns.map { ruler.measure($0, style).height }.max() ?? 0
            columnLabels = grid.columns.allSatisfy(\.isEmpty) ? 0 : highest + 8
            let titles = grid.sections.filter { !$0.title.isEmpty }
                .map { ruler.measure($0.title, TextStyle(size: 12.5, isBold: true, width: content, lines: 2)).height + 12 }
            let rows = grid.sections.reduce(0) { $0 + $1.rows.count }
            height = top + columnLabels + titles.reduce(0, +) + Double(rows) * (cell.height + LabelledGrid.gap) - LabelledGrid.gap + Canvas.margin
        }

        func x(_ column: Int) -> Double { Canvas.margin + rowLabels + Double(column) * (cell.width + LabelledGrid.gap) }

        /// A place that all pictures fit into, with the proportions of the largest.
        private static func cell(_ grid: LabelledGrid) -> (width: Double, height: Double) {
            let pictures = grid.sections.flatMap(\.rows).flatMap(\.pictures).compactMap(\.self)
            let width = Double(pictures.map(\.width).max() ?? 1), height = Double(pictures.map(\.height).max() ?? 1)
            let side = grid.pictureSize ?? min(288, max(128, max(width, height) / 2))
            let fit = side / max(width, height, 1)
            return (max(24, width * fit), max(24, height * fit))
        }
    }
}
