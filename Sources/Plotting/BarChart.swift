import Imaging

/// Horizontal bars with their names and values: norms of layers, counts of tags.
public struct BarChart: Sendable {
    public struct Bar: Sendable {
        public var label: String
        /// Bars start at zero; what is not a finite number ≥ 0 has none.
        public var value: Double
        /// Bars of one group share a colour; the groups are named in a legend in the order of their appearance.
        public var group: String
        public init(_ label: String, _ value: Double, group: String = "") { (self.label, self.value, self.group) = (label, value, group) }
    }

    public var title: String, subtitle: String
    public var bars: [Bar]
    /// Points.
    public var width: Double

    public init(_ bars: [Bar], title: String = "", subtitle: String = "", width: Double = 720) {
        (self.bars, self.title, self.subtitle, self.width) = (bars, title, subtitle, width)
    }

    private static let rowHeight = 20.0
    private static let style = TextStyle(size: 11.5)
    private var groups: [String] { bars.reduce(into: []) { if !$0.contains($1.group) { $0.append($1.group) } } }

    /// - Parameter scale: pixels per point.
    public func draw(scale: Double = 2) -> Pixels {
        let ruler = Canvas(width: 1, height: 1, scale: scale)
        let inner = width - 2 * Canvas.margin
        let hasLegend = groups.count > 1
        let top = max(Canvas.margin, ruler.heading(title, subtitle, width: inner) + 10) + (hasLegend ? 24 : 0)
        let canvas = Canvas(width: width, height: top + Self.rowHeight * Double(max(1, bars.count)) + Canvas.margin, scale: scale)
        canvas.card()
        _ = canvas.heading(title, subtitle, width: inner)
        if hasLegend { legend(canvas, y: top - 26) }
        let labels = min(inner / 2, (bars.map { ruler.measure($0.label, Self.style).width }.max() ?? 0) + 2)
        let values = (bars.map { ruler.measure(Axis.short($0.value), Self.style).width }.max() ?? 0) + 8
        let longest = bars.map(\.value).filter { $0.isFinite }.max() ?? 0
        for (i, bar) in bars.enumerated() {
            let y = top + Double(i) * Self.rowHeight
            var label = Self.style
            (label.width, label.alignment, label.ellipsis) = (labels, .right, .middle)
            canvas.text(bar.label, x: Canvas.margin, y: y + 1, label)
            let x = Canvas.margin + labels + 10
            let length = bar.value.isFinite && longest > 0 ? max(0, bar.value / longest) * (inner - labels - 10 - values) : 0
            if length > 0 { canvas.fill(Rectangle(x: x, y: y + 3, width: max(1.5, length), height: Self.rowHeight - 6), colour(bar.group), radius: 3) }
            canvas.text(bar.value.isFinite ? Axis.short(bar.value) : "not a number", x: x + length + 7, y: y + 1, TextStyle(size: 11.5, colour: .muted))
        }
        if bars.isEmpty { canvas.text("nothing to show yet", x: Canvas.margin, y: top, TextStyle(size: 13, colour: .faint)) }
        return canvas.pixels()
    }

    private func colour(_ group: String) -> Colour { Colour.series[(groups.firstIndex(of: group) ?? 0) % Colour.series.count] }

    private func legend(_ canvas: Canvas, y: Double) {
        var x = Canvas.margin
        for group in groups {
            canvas.fill(Rectangle(x: x, y: y + 4, width: 11, height: 11), colour(group), radius: 3)
            x += 17 + canvas.text(group, x: x + 17, y: y, TextStyle(size: 12)).width + 18
        }
    }
}
