import Imaging

/// Pairs of pictures with an arrow between them: what a preparation or a training changed.
public struct BeforeAfterSheet: Sendable {
    public struct Item: Sendable {
        public var before: Pixels, after: Pixels
        public var name: String
        /// What was done: "1920×1080 → 768×512, cropped".
        public var note: String
        public init(before: Pixels, after: Pixels, name: String, note: String = "") {
            (self.before, self.after, self.name, self.note) = (before, after, name, note)
        }
    }

    public var title: String, subtitle: String
    public var items: [Item]
    /// Points: the side of a picture's square, and the card's largest width.
    public var pictureSize: Double, width: Double

    public init(_ items: [Item], title: String = "", subtitle: String = "", pictureSize: Double = 150, width: Double = 880) {
        (self.items, self.title, self.subtitle, self.pictureSize, self.width) = (items, title, subtitle, pictureSize, width)
    }

    private static let arrow = 36.0, gap = 28.0, lines = 40.0
    private var pairWidth: Double { 2 * pictureSize + Self.arrow }

    /// - Parameter scale: pixels per point.
    public func draw(scale: Double = 2) -> Pixels {
        let fitting = max(1, Int((width - 2 * Canvas.margin + Self.gap) / (pairWidth + Self.gap)))
        let columns = min(fitting, max(1, items.count)), rows = (items.count + columns - 1) / columns
        let inner = Double(columns) * (pairWidth + Self.gap) - Self.gap
        let ruler = Canvas(width: 1, height: 1, scale: scale)
        let top = max(Canvas.margin, ruler.heading(title, subtitle, width: inner) + (title.isEmpty && subtitle.isEmpty ? 4 : 12))
        let canvas = Canvas(
            width: inner + 2 * Canvas.margin, height: top + Double(rows) * (pictureSize + Self.lines + 14) - 14 + Canvas.margin, scale: scale)
        canvas.card()
        _ = canvas.heading(title, subtitle, width: inner)
        for (i, item) in items.enumerated() {
            draw(item, canvas, x: Canvas.margin + Double(i % columns) * (pairWidth + Self.gap), y: top + Double(i / columns) * (pictureSize + Self.lines + 14))
        }
        return canvas.pixels()
    }

    private func draw(_ item: Item, _ canvas: Canvas, x: Double, y: Double) {
        canvas.thumbnail(item.before, Rectangle(x: x, y: y, width: pictureSize, height: pictureSize))
        canvas.thumbnail(item.after, Rectangle(x: x + pictureSize + Self.arrow, y: y, width: pictureSize, height: pictureSize))
        let middle = y + pictureSize / 2, from = x + pictureSize + 9, to = from + Self.arrow - 18
        canvas.line(from, middle, to, middle, .faint, width: 1.8)
        canvas.polyline([(to - 5, middle - 5), (to, middle), (to - 5, middle + 5)], .faint, width: 1.8)
        canvas.text(item.name, x: x, y: y + pictureSize + 5, TextStyle(size: 11.5, isBold: true, width: pairWidth, ellipsis: .middle))
        canvas.text(item.note, x: x, y: y + pictureSize + 22, TextStyle(size: 11, colour: .muted, width: pairWidth))
    }
}
