import Imaging

/// A plot as a value: panels above each other that share one horizontal axis, drawn on a light card.
public struct Figure: Sendable {
    public var title: String
    public var subtitle: String
    public var panels: [Panel]
    /// What the horizontal axis counts: "step", "epoch".
    public var xLabel: String
    /// Lines across all panels: epochs, changes of a setting.
    public var marks: [Mark]
    /// Points; the card's height follows from its panels.
    public var width: Double

    public init(title: String, subtitle: String = "", panels: [Panel], xLabel: String = "step", marks: [Mark] = [], width: Double = 880) {
        (self.title, self.subtitle, self.panels, self.xLabel, self.marks, self.width) = (title, subtitle, panels, xLabel, marks, width)
    }

    /// One stripe of a figure with a vertical axis of its own.
    public struct Panel: Sendable {
        /// What the vertical axis measures, written above it.
        public var yLabel: String
        public var scale: AxisScale
        public var series: [Series]
        public var bands: [Band]
        /// Points between its top and bottom lines.
        public var height: Double
        /// The vertical axis from here to there; nil lets the data decide.
        public var range: ClosedRange<Double>?

        public init(
            yLabel: String, scale: AxisScale = .linear, series: [Series], bands: [Band] = [], height: Double = 290, range: ClosedRange<Double>? = nil
        ) {
            (self.yLabel, self.scale, self.series, self.bands, self.height, self.range) = (yLabel, scale, series, bands, height, range)
        }
    }

    /// Points that belong together. Numbers that are not finite leave a gap.
    public struct Series: Sendable {
        public enum Style: Sendable, Equatable {
            /// The line that is meant to be read.
            case line
            /// Raw values behind a smoothed line: thin and pale. Its rare outliers do not decide the range of the axis.
            case raw
            /// Single measurements, joined by a fine line.
            case dots
            /// A level that holds until the next point, as a learning rate does.
            case steps
        }
        /// For the legend; series without a name are not in it.
        public var name: String
        public var points: [(x: Double, y: Double)]
        public var style: Style
        /// nil takes the next colour of `Colour.series`.
        public var colour: Colour?
        /// Writes the last value at the right end.
        public var showsLastValue: Bool

        public init(
            _ name: String, _ points: [(x: Double, y: Double)], style: Style = .line, colour: Colour? = nil, showsLastValue: Bool = false
        ) {
            (self.name, self.points, self.style, self.colour, self.showsLastValue) = (name, points, style, colour, showsLastValue)
        }

        /// Values at 0, 1, 2 …
        public init(_ name: String, values: [Double], style: Style = .line, colour: Colour? = nil, showsLastValue: Bool = false) {
            self.init(name, values.enumerated().map { (Double($0), $1) }, style: style, colour: colour, showsLastValue: showsLastValue)
        }
    }

    /// A horizontal stripe that means something: the band of losses to aim at.
    public struct Band: Sendable {
        public var range: ClosedRange<Double>
        public var label: String
        public var colour: Colour

        public init(_ range: ClosedRange<Double>, label: String, colour: Colour = .green) {
            (self.range, self.label, self.colour) = (range, label, colour)
        }
    }

    /// A vertical line with a word at its top.
    public struct Mark: Sendable {
        public enum Kind: Sendable { case epoch, event }
        public var x: Double
        public var label: String
        /// Events stand out; epochs stay in the background, and where they are close only some are labelled.
        public var kind: Kind

        public init(x: Double, label: String, kind: Kind = .epoch) { (self.x, self.label, self.kind) = (x, label, kind) }
    }

    /// - Parameter scale: pixels per point; 2 is sharp on today's screens. Show the picture at half its size in pixels.
    public func draw(scale: Double = 2) -> Pixels { FigureDrawing(self, scale: scale).draw() }
}
