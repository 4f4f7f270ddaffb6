import Imaging

/// Lays a figure out and draws it.
struct FigureDrawing {
    private static let small = 11.0, gap = 36.0, markStrip = 16.0, axisStrip = 40.0
    private let figure: Figure
    private let scale: Double
    private let xAxis: Axis
    private let yAxes: [Axis]
    private let colours: [[Colour]]

    init(_ figure: Figure, scale: Double) {
        self.figure = figure
        self.scale = scale
        xAxis = Axis(.linear, showing: figure.panels.lazy.flatMap { $0.series.lazy.flatMap { $0.points.lazy.map(\.x) } }, air: 0.012)
        yAxes = figure.panels.map(Self.axis)
        var next = 0
        colours = figure.panels.map { panel in
            panel.series.map { series in
                if let colour = series.colour { return colour }
                defer { next += 1 }
                return Colour.series[next % Colour.series.count]
            }
        }
    }

    // MARK: Ranges

    private static func axis(_ panel: Figure.Panel) -> Axis {
        if let range = panel.range, range.lowerBound < range.upperBound, panel.scale == .linear || range.lowerBound > 0 {
            return Axis(panel.scale, from: range.lowerBound, to: range.upperBound)
        }
        var values = panel.series.flatMap { $0.style == .raw ? middle($0.points.map(\.y)) : $0.points.map(\.y) }
        let data = Axis(panel.scale, showing: values, air: 0)
        // A band is shown when that does not press the data into a third of the panel; otherwise a note points to it.
        for band in panel.bands where values.isEmpty || Axis(panel.scale, showing: values + ends(band), air: 0).length < 3 * data.length {
            values += ends(band)
        }
        return Axis(panel.scale, showing: values, air: 0.06)
    }

    private static func ends(_ band: Figure.Band) -> [Double] { [band.range.lowerBound, band.range.upperBound] }

    /// Without the lowest and highest hundredth.
    private static func middle(_ values: [Double]) -> [Double] {
        let sorted = values.filter(\.isFinite).sorted()
        guard sorted.count > 50 else { return sorted }
        return [sorted[sorted.count / 100], sorted[sorted.count - 1 - sorted.count / 100]]
    }

    // MARK: Drawing

    func draw() -> Pixels {
        // Text must be measured before the height is known: a first canvas of one point does that.
        let ruler = Canvas(width: 1, height: 1, scale: scale)
        let left = Canvas.margin + gutter(ruler) + 8, right = Canvas.margin + lastValueWidth(ruler)
        let plotWidth = max(40, figure.width - left - right)
        let header = headerHeight(ruler)
        let panels = figure.panels.reduce(0) { $0 + $1.height } + Self.gap * Double(max(0, figure.panels.count - 1))
        let height = header + Self.markStrip + 14 + panels + Self.axisStrip + Canvas.margin - 12
        let canvas = Canvas(width: figure.width, height: height, scale: scale)
        canvas.card()
        var y = canvas.heading(figure.title, figure.subtitle, width: figure.width - 2 * Canvas.margin)
        y = legend(canvas, top: y)
        y = header + Self.markStrip + 14
        let top = y
        for (i, panel) in figure.panels.enumerated() {
            let plot = Rectangle(x: left, y: y, width: plotWidth, height: panel.height)
            draw(panel, axis: yAxes[i], colours: colours[i], plot, isFirst: i == 0, canvas)
            y += panel.height + Self.gap
        }
        let bottom = y - Self.gap
        xTicks(canvas, Rectangle(x: left, y: top, width: plotWidth, height: bottom - top))
        return canvas.pixels()
    }

    private func headerHeight(_ ruler: Canvas) -> Double {
        legend(ruler, top: ruler.heading(figure.title, figure.subtitle, width: figure.width - 2 * Canvas.margin)) + 2
    }

    private func gutter(_ ruler: Canvas) -> Double {
        let labels = zip(figure.panels, yAxes).flatMap { panel, axis in axis.labels(axis.ticks(about: tickCount(panel))) }
        return labels.map { ruler.measure($0, TextStyle(size: Self.small)).width }.max() ?? 0
    }

    private func lastValueWidth(_ ruler: Canvas) -> Double {
        let labels = figure.panels.flatMap(\.series).filter(\.showsLastValue).compactMap(\.points.last).map { Axis.short($0.y) }
        return labels.map { ruler.measure($0, TextStyle(size: 12, isBold: true)).width + 12 }.max() ?? 0
    }

    private func tickCount(_ panel: Figure.Panel) -> Int { max(2, Int(panel.height / 52)) }

    /// Samples of the lines with their names, in as many rows as needed; returns where what follows may begin.
    private func legend(_ canvas: Canvas, top: Double) -> Double {
        let style = TextStyle(size: 12, colour: .ink)
        var x = Canvas.margin, y = top + 6, isEmpty = true
        for (panel, colours) in zip(figure.panels, colours) {
            for (series, colour) in zip(panel.series, colours) where !series.name.isEmpty {
                let width = canvas.measure(series.name, style).width
                if !isEmpty, x + 28 + width > figure.width - Canvas.margin { (x, y) = (Canvas.margin, y + 20) }
                sample(canvas, series.style, colour, x, y + 8.5)
                canvas.text(series.name, x: x + 28, y: y, style)
                x += 28 + width + 20
                isEmpty = false
            }
        }
        return isEmpty ? top : y + 20
    }

    private func sample(_ canvas: Canvas, _ style: Figure.Series.Style, _ colour: Colour, _ x: Double, _ y: Double) {
        switch style {
        case .line: canvas.line(x + 1, y, x + 21, y, colour, width: 2.6)
        case .raw: canvas.polyline([(x + 1, y + 1), (x + 6, y - 3), (x + 11, y + 3), (x + 16, y - 2), (x + 21, y + 1)], pale(colour), width: 1.2)
        case .dots:
            canvas.line(x + 1, y, x + 21, y, colour, width: 1)
            canvas.dot(x + 11, y, radius: 3.4, colour)
        case .steps: canvas.polyline([(x + 1, y + 3), (x + 11, y + 3), (x + 11, y - 3), (x + 21, y - 3)], colour, width: 2)
        }
    }

    private func pale(_ colour: Colour) -> Colour { colour.mixed(with: .card, 0.62) }

    private func draw(_ panel: Figure.Panel, axis: Axis, colours: [Colour], _ plot: Rectangle, isFirst: Bool, _ canvas: Canvas) {
        grid(canvas, panel, axis, plot)
        for band in panel.bands { draw(band, axis, plot, canvas) }
        marks(canvas, plot, labelled: isFirst)
        canvas.line(plot.x, plot.bottom, plot.right, plot.bottom, .axis)
        let pieces = zip(panel.series, colours).map { ($0, $1, places($0, axis, plot)) }
        canvas.clipped(to: Rectangle(x: plot.x - 4, y: plot.y - 4, width: plot.width + 8, height: plot.height + 8)) {
            for (series, colour, runs) in pieces { draw(series, colour, runs, canvas) }
        }
        for band in panel.bands { label(band, axis, plot, canvas) }
        lastValues(canvas, pieces, plot)
        if pieces.allSatisfy({ $0.2.isEmpty }) {
            canvas.text("no data yet", x: plot.x + plot.width / 2, y: plot.y + plot.height / 2 - 9, TextStyle(size: 13, colour: .faint, alignment: .centre))
        }
    }

    private func grid(_ canvas: Canvas, _ panel: Figure.Panel, _ axis: Axis, _ plot: Rectangle) {
        let ticks = axis.ticks(about: tickCount(panel))
        for (tick, label) in zip(ticks, axis.labels(ticks)) where panel.series.contains(where: { !$0.points.isEmpty }) {
            guard let position = axis.position(tick) else { continue }
            let y = plot.bottom - position * plot.height
            canvas.line(plot.x, y, plot.right, y, .grid)
            canvas.text(label, x: plot.x - 8, y: y - 8, TextStyle(size: Self.small, colour: .muted, alignment: .right))
        }
        canvas.text(panel.yLabel, x: Canvas.margin, y: plot.y - 20, TextStyle(size: Self.small, colour: .muted, isBold: true))
    }

    private func draw(_ band: Figure.Band, _ axis: Axis, _ plot: Rectangle, _ canvas: Canvas) {
        guard let (top, bottom) = visiblePart(band, axis, plot) else { return }
        canvas.fill(Rectangle(x: plot.x, y: top, width: plot.width, height: bottom - top), band.colour.mixed(with: .card, 0.84))
        for y in [top, bottom] { canvas.line(plot.x, y, plot.right, y, band.colour.mixed(with: .card, 0.5), width: 0.8) }
    }

    private func visiblePart(_ band: Figure.Band, _ axis: Axis, _ plot: Rectangle) -> (top: Double, bottom: Double)? {
        guard let low = axis.position(band.range.lowerBound), let high = axis.position(band.range.upperBound), high >= 0, low <= 1 else { return nil }
        return (plot.bottom - min(1, high) * plot.height, plot.bottom - max(0, low) * plot.height)
    }

    /// At the left, where a loss is still high above its target; an arrow where the band lies outside.
    private func label(_ band: Figure.Band, _ axis: Axis, _ plot: Rectangle, _ canvas: Canvas) {
        let style = TextStyle(size: Self.small, colour: band.colour.mixed(with: .black, 0.35), isBold: true)
        let isBelow = (axis.position(band.range.upperBound) ?? 0) < 0
        let visible = visiblePart(band, axis, plot)
        let text = visible == nil ? "\(band.label) \(isBelow ? "↓" : "↑")" : band.label
        let size = canvas.measure(text, style)
        let y = visible.map { ($0.top + $0.bottom - size.height) / 2 } ?? (isBelow ? plot.bottom - size.height - 4 : plot.y + 4)
        canvas.fill(
            Rectangle(x: plot.x + 6, y: y, width: size.width + 12, height: size.height), band.colour.mixed(with: .card, visible == nil ? 1 : 0.84), radius: 4)
        canvas.text(text, x: plot.x + 12, y: y, style)
    }

    private func marks(_ canvas: Canvas, _ plot: Rectangle, labelled: Bool) {
        let marks: [PlacedMark] = figure.marks.sorted { $0.x < $1.x }.compactMap { mark in
            guard let position = xAxis.position(mark.x), (0...1).contains(position) else { return nil }
            return (plot.x + position * plot.width, mark)
        }
        let events = marks.filter { $0.mark.kind == .event }, epochs = marks.filter { $0.mark.kind == .epoch }
        for x in Set(events.map(\.x)) { canvas.line(x, plot.y, x, plot.bottom, .purple, width: 1.4) }
        for (x, _) in epochs { canvas.line(x, plot.y, x, plot.bottom, .axis, width: 0.9, dashes: [3, 4]) }
        guard labelled else { return }
        labelEpochs(epochs, canvas, plot)
        labelEvents(events, canvas, plot)
    }

    /// A mark and its place on the card.
    private typealias PlacedMark = (x: Double, mark: Figure.Mark)

    private func labelEpochs(_ epochs: [PlacedMark], _ canvas: Canvas, _ plot: Rectangle) {
        let style = TextStyle(size: 10.5, colour: .muted, alignment: .centre)
        var free = -Double.infinity
        for (x, mark) in epochs where !mark.label.isEmpty {
            let width = canvas.measure(mark.label, style).width
            guard x - width / 2 > free else { continue }
            canvas.text(mark.label, x: x, y: plot.y - 17, style)
            free = x + width / 2 + 10
        }
    }

    /// Events have a line of their own, so that epochs never hide them. What would overlap is said in one label, between the marks.
    private func labelEvents(_ events: [PlacedMark], _ canvas: Canvas, _ plot: Rectangle) {
        let style = TextStyle(size: 10.5, colour: Colour.purple.mixed(with: .black, 0.3), isBold: true, alignment: .centre)
        var labels: [(marks: [PlacedMark], text: String, x: Double, width: Double)] = []
        for event in events where !event.mark.label.isEmpty {
            var marks = [event]
            while true {
                let joined = marks.map(\.mark.label).joined(separator: " · ")
                let text = canvas.measure(joined, style).width <= plot.width ? joined : "\(marks.count) changes"
                let width = canvas.measure(text, style).width
                let x = min(max((marks[0].x + marks[marks.count - 1].x) / 2, plot.x + width / 2), plot.right - width / 2)
                guard let last = labels.last, last.x + last.width / 2 + 8 > x - width / 2 else {
                    labels.append((marks, text, x, width))
                    break
                }
                marks = last.marks + marks
                labels.removeLast()
            }
        }
        for label in labels { canvas.text(label.text, x: label.x, y: plot.y - 31, style) }
    }

    private func xTicks(_ canvas: Canvas, _ plot: Rectangle) {
        let ticks = xAxis.ticks(about: max(2, Int(plot.width / 95)))
        for (tick, label) in zip(ticks, xAxis.labels(ticks)) where figure.panels.contains(where: { $0.series.contains { !$0.points.isEmpty } }) {
            guard let position = xAxis.position(tick) else { continue }
            let x = plot.x + position * plot.width
            canvas.line(x, plot.bottom, x, plot.bottom + 4, .axis)
            canvas.text(label, x: x, y: plot.bottom + 7, TextStyle(size: Self.small, colour: .muted, alignment: .centre))
        }
        canvas.text(figure.xLabel, x: plot.x + plot.width / 2, y: plot.bottom + 24, TextStyle(size: Self.small, colour: .muted, isBold: true, alignment: .centre))
    }

    // MARK: Series

    private typealias Run = [(x: Double, y: Double)]

    /// The points in places on the card, in runs without gaps.
    private func places(_ series: Figure.Series, _ axis: Axis, _ plot: Rectangle) -> [Run] {
        var runs: [Run] = [], run: Run = []
        for point in series.points {
            guard let px = xAxis.position(point.x), let py = axis.position(point.y) else {
                if !run.isEmpty { runs.append(run) }
                run = []
                continue
            }
            // Far outside the clip: kept near, where Cairo's fixed-point coordinates hold.
            let y = plot.bottom - min(10, max(-10, py)) * plot.height
            if series.style == .steps, let last = run.last { run.append((plot.x + px * plot.width, last.y)) }
            run.append((plot.x + px * plot.width, y))
        }
        if !run.isEmpty { runs.append(run) }
        return runs
    }

    /// Whether so many points fall into one column of pixels that they cannot be told apart.
    private func isDense(_ run: Run) -> Bool { Double(run.count) > 3 * (run.last!.x - run.first!.x) * scale }

    /// The highest and lowest place in each column of pixels, joined to the column before as a line would be.
    private func spans(_ run: Run) -> [(x: Double, top: Double, bottom: Double)] {
        var spans: [(x: Double, top: Double, bottom: Double)] = []
        var column = -Double.infinity, last = run[0].y
        for point in run {
            let own = (point.x * scale).rounded(.down)
            if own != column {
                spans.append((point.x, min(point.y, last), max(point.y, last)))
                column = own
            } else {
                spans[spans.count - 1].top = min(spans[spans.count - 1].top, point.y)
                spans[spans.count - 1].bottom = max(spans[spans.count - 1].bottom, point.y)
            }
            last = point.y
        }
        return spans
    }

    /// One point for each column of pixels, the mean of those that fall into it.
    private func thinned(_ run: Run) -> Run {
        guard isDense(run) else { return run }
        var result: Run = []
        var start = 0
        while start < run.count {
            let column = (run[start].x * scale).rounded(.down)
            let end = run[start...].firstIndex { ($0.x * scale).rounded(.down) != column } ?? run.count
            result.append((run[start..<end].reduce(0) { $0 + $1.x } / Double(end - start), run[start..<end].reduce(0) { $0 + $1.y } / Double(end - start)))
            start = end
        }
        return result
    }

    private func draw(_ series: Figure.Series, _ colour: Colour, _ runs: [Run], _ canvas: Canvas) {
        for run in runs {
            switch series.style {
            case .line where run.count == 1: canvas.dot(run[0].x, run[0].y, radius: 2.4, colour)
            case .raw where run.count == 1: canvas.dot(run[0].x, run[0].y, radius: 1.4, pale(colour))
            case .line: canvas.polyline(thinned(run), colour, width: 2.6)
            case .raw where isDense(run): canvas.columns(spans(run), pale(colour))
            case .raw: canvas.polyline(run, pale(colour), width: 1)
            case .steps: canvas.polyline(run, colour, width: 2)
            case .dots:
                canvas.polyline(run, colour.mixed(with: .card, 0.3), width: 1.2)
                for point in run { canvas.dot(point.x, point.y, radius: 3.4, colour, ring: .card) }
            }
        }
    }

    /// The last values: at the right end, moved apart where they would overlap; beside the last point where a line ends early.
    private func lastValues(_ canvas: Canvas, _ pieces: [(Figure.Series, Colour, [Run])], _ plot: Rectangle) {
        var labels: [(y: Double, text: String, colour: Colour)] = []
        for (series, colour, runs) in pieces {
            guard series.showsLastValue, let place = runs.last?.last, let value = series.points.last(where: { $0.y.isFinite })?.y else { continue }
            let y = min(max(place.y, plot.y), plot.bottom), text = colour.mixed(with: .black, 0.15)
            canvas.dot(place.x, y, radius: 4, colour, ring: .card)
            if place.x < plot.right - plot.width / 4 {
                canvas.text(Axis.short(value), x: place.x + 10, y: y - 8, TextStyle(size: 12, colour: text, isBold: true))
            } else {
                labels.append((y, Axis.short(value), text))
            }
        }
        var free = -Double.infinity
        for label in labels.sorted(by: { $0.y < $1.y }) {
            let y = max(label.y - 8, free)
            canvas.text(label.text, x: plot.right + 10, y: y, TextStyle(size: 12, colour: label.colour, isBold: true))
            free = y + 15
        }
    }
}
