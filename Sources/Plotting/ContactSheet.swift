import Imaging

/// Pictures side by side with their names and captions: a data set at a glance.
public struct ContactSheet: Sendable {
    public struct Item: Sendable {
        public var picture: Pixels
        /// A file's name; shortened in its middle.
        public var name: String
        /// Wrapped to at most `captionLines` lines.
        public var caption: String
        /// What is wrong with this one, in two or three words; nil when nothing is.
        public var warning: String?

        public init(_ picture: Pixels, name: String = "", caption: String = "", warning: String? = nil) {
            (self.picture, self.name, self.caption, self.warning) = (picture, name, caption, warning)
        }
    }

    public var title: String, subtitle: String
    public var items: [Item]
    /// nil makes as many as fit into `width`, fewer when there are few pictures.
    public var columns: Int?
    /// Points: the side of a picture's square, and the card's largest width.
    public var pictureSize: Double, width: Double
    public var captionLines: Int
    /// More are counted below the sheet, not drawn.
    public var maximumItems: Int

    public init(
        _ items: [Item], title: String = "", subtitle: String = "", columns: Int? = nil, pictureSize: Double = 152, width: Double = 880,
        captionLines: Int = 3, maximumItems: Int = 60
    ) {
        (self.items, self.title, self.subtitle, self.columns) = (items, title, subtitle, columns)
        (self.pictureSize, self.width, self.captionLines, self.maximumItems) = (pictureSize, width, captionLines, maximumItems)
    }

    private static let gap = 16.0
    private var shown: ArraySlice<Item> { items.prefix(max(0, maximumItems)) }

    private var columnCount: Int {
        let fitting = max(1, Int((width - 2 * Canvas.margin + Self.gap) / (pictureSize + Self.gap)))
        return max(1, columns ?? min(fitting, max(shown.count, 1)))
    }

    /// - Parameter scale: pixels per point.
    public func draw(scale: Double = 2) -> Pixels {
        let ruler = Canvas(width: 1, height: 1, scale: scale)
        let inner = Double(columnCount) * (pictureSize + Self.gap) - Self.gap
        // A heading needs some width even above a single picture.
        let textWidth = max(inner, min(width - 2 * Canvas.margin, 320))
        let top = max(Canvas.margin, ruler.heading(title, subtitle, width: textWidth) + (title.isEmpty && subtitle.isEmpty ? 4 : 12))
        let rows = stride(from: shown.startIndex, to: shown.endIndex, by: columnCount).map { shown[$0..<min($0 + columnCount, shown.endIndex)] }
        let heights = rows.map { row in row.map { height(of: $0, ruler) }.max() ?? 0 }
        let footer = footnote.isEmpty ? 0 : 24.0
        let canvas = Canvas(
            width: 2 * Canvas.margin + textWidth, height: top + heights.reduce(0, +) + Self.gap * Double(max(0, rows.count - 1)) + footer + Canvas.margin,
            scale: scale)
        canvas.card()
        _ = canvas.heading(title, subtitle, width: textWidth)
        var y = top
        for (row, height) in zip(rows, heights) {
            for (column, item) in row.enumerated() { draw(item, canvas, x: Canvas.margin + Double(column) * (pictureSize + Self.gap), y: y) }
            y += height + Self.gap
        }
        if !footnote.isEmpty { canvas.text(footnote, x: Canvas.margin, y: y - 6, TextStyle(size: 12, colour: .muted)) }
        return canvas.pixels()
    }

    private var footnote: String {
        if items.isEmpty { return "no pictures" }
        return items.count > shown.count ? "… and \(items.count - shown.count) more" : ""
    }

    private var nameStyle: TextStyle { TextStyle(size: 11.5, isBold: true, width: pictureSize, ellipsis: .middle) }
    private var captionStyle: TextStyle { TextStyle(size: 11, colour: .muted, width: pictureSize, lines: captionLines) }

    private func height(of item: Item, _ ruler: Canvas) -> Double {
        var height = pictureSize + 5
        if !item.name.isEmpty { height += ruler.measure(item.name, nameStyle).height }
        if !item.caption.isEmpty { height += ruler.measure(item.caption, captionStyle).height }
        return height
    }

    private func draw(_ item: Item, _ canvas: Canvas, x: Double, y: Double) {
        let square = Rectangle(x: x, y: y, width: pictureSize, height: pictureSize)
        canvas.thumbnail(item.picture, square)
        if let warning = item.warning { canvas.badge(warning, over: square) }
        var below = square.bottom + 5
        if !item.name.isEmpty { below += canvas.text(item.name, x: x, y: below, nameStyle).height }
        if !item.caption.isEmpty { canvas.text(item.caption, x: x, y: below, captionStyle) }
    }
}

extension Canvas {
    /// A picture in a square with soft corners; where its shape is another, the ground shows.
    func thumbnail(_ picture: Pixels, _ r: Rectangle) {
        if picture.width != picture.height { fill(r, .placeholder, radius: 6) }
        let place = self.picture(picture, in: r, radius: 6)
        stroke(place, Colour(0, 0, 0, opacity: 0.10), radius: 6)
    }

    /// A warning along the lower edge of a picture, and an amber frame around it.
    func badge(_ text: String, over r: Rectangle) {
        let style = TextStyle(size: 10.5, colour: .warning, isBold: true, alignment: .centre, width: r.width - 12)
        let height = measure(text, style).height + 5
        clipped(to: r, radius: 6) { fill(Rectangle(x: r.x, y: r.bottom - height, width: r.width, height: height), .warningGround) }
        self.text(text, x: r.x + 6, y: r.bottom - height + 2, style)
        stroke(r, .orange, width: 2, radius: 6)
    }
}
