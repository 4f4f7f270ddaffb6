import Glibc
import Imaging
import Plotting
import Testing

@Suite struct FigureTests {
    /// A falling, noisy loss: deterministic, with an outlier now and then.
    static func loss(_ count: Int) -> [(x: Double, y: Double)] {
        var state = 42.0
        return (0..<count).map { i in
            state = fmod(state * 16807 + 11, 2_147_483_647)
            return (Double(i), (0.08 + 0.25 * exp(-5 * Double(i) / Double(count))) * (0.6 + 0.8 * state / 2_147_483_647) + (i % 97 == 5 ? 0.4 : 0))
        }
    }

    static func figure(_ points: [(x: Double, y: Double)]) -> Figure {
        Figure(
            title: "Training loss", subtitle: "第三次训练",
            panels: [
                .init(
                    yLabel: "loss", series: [.init("each step", points, style: .raw, colour: .blue), .init("average", points, colour: .blue, showsLastValue: true)],
                    bands: [.init(0.07...0.09, label: "target band")]),
                .init(yLabel: "learning rate", series: [.init("", points.map { ($0.x, 1e-4) }, style: .steps)], height: 70),
            ], marks: [.init(x: 10, label: "epoch 1"), .init(x: 20, label: "lr halved", kind: .event)])
    }

    private func count(_ picture: Pixels, where test: ((red: UInt8, green: UInt8, blue: UInt8)) -> Bool) -> Int {
        var count = 0
        for y in 0..<picture.height { for x in 0..<picture.width where test(picture[x, y]) { count += 1 } }
        return count
    }
    private func isVermilion(_ c: (red: UInt8, green: UInt8, blue: UInt8)) -> Bool { c == (0xD5, 0x5E, 0x00) }

    @Test func `the card is light inside and transparent at its corners`() {
        let picture = Self.figure(Self.loss(50)).draw()
        #expect(picture.width == 1760)
        #expect(picture.alpha?.first == 0 && picture.alpha?.last == 0)
        #expect(picture.alpha?[picture.width * picture.height / 2] == 255)
        #expect(picture[20, picture.height / 2] == (253, 253, 252))
    }

    @Test func `a line is where its values are`() {
        // From (0, 0) to (1, 1) in a panel of which the axis is given: its ends lie at opposite corners.
        let figure = Figure(title: "", panels: [.init(yLabel: "", series: [.init("", [(0, 0), (1, 1)], colour: .vermilion)], range: 0...1)])
        let picture = figure.draw(scale: 1)
        var places: [(x: Int, y: Int)] = []
        for y in 0..<picture.height { for x in 0..<picture.width where isVermilion(picture[x, y]) { places.append((x, y)) } }
        let left = places.min { $0.x < $1.x }!, right = places.max { $0.x < $1.x }!
        #expect(left.x < 70 && right.x > 840)
        #expect(abs(left.y - right.y - 290) <= 3, "the panel is 290 points high")
    }

    @Test func `events that are close share a label, and too many are counted`() {
        func drawn(_ events: [(x: Double, label: String)]) -> [UInt8] {
            let marks = events.map { Figure.Mark(x: $0.x, label: $0.label, kind: .event) }
            return Figure(title: "", panels: [.init(yLabel: "", series: [.init("", [(0, 0), (100, 1)])])], marks: marks).draw(scale: 1).rgb
        }
        #expect(drawn([(50, "lr 0.003 → 0.001"), (50, "rank 16 → 24"), (50, "cosine")]) == drawn([(50, "lr 0.003 → 0.001 · rank 16 → 24 · cosine")]))
        #expect(drawn([(20, "rank 8"), (80, "rank 4")]) != drawn([(20, "rank 8 · rank 4"), (80, "")]))
        #expect(drawn((0..<40).map { _ in (50, "rank 16 → 24") }) == drawn([(50, "40 changes")]))
    }

    @Test func `a dense line draws the extremes of each column`() {
        // 100,000 points of noise with one spike: it must not get lost between two pixels.
        var points = (0..<100_000).map { (x: Double($0), y: 0.5 + 0.01 * Double($0 % 7)) }
        points[54_321].y = 1
        let figure = { Figure(title: "", panels: [.init(yLabel: "", series: [.init("", $0, style: .raw, colour: .vermilion)], range: 0...1.1)]) }
        var calm = points
        calm[54_321].y = 0.5
        let isPale = { (c: (red: UInt8, green: UInt8, blue: UInt8)) in c.red > 200 && c.blue < 200 && c.green < 210 }
        #expect(count(figure(points).draw(), where: isPale) > count(figure(calm).draw(), where: isPale) + 150)
    }

    @Test func `gaps stay gaps`() {
        let whole = (0...100).map { (x: Double($0), y: 0.5) }
        let broken = whole.map { (x: $0.x, y: $0.x > 30 && $0.x < 70 ? .nan : $0.y) }
        let draw = { (points: [(x: Double, y: Double)]) in Figure(title: "", panels: [.init(yLabel: "", series: [.init("", points, colour: .vermilion)])]).draw(scale: 1) }
        let full = count(draw(whole), where: isVermilion), part = count(draw(broken), where: isVermilion)
        #expect(part > 0 && Double(part) < 0.65 * Double(full))
    }

    static let odd: [[(x: Double, y: Double)]] = [
        [], [(0, 0)], [(.nan, .nan)], [(0, .infinity), (1, -.infinity)], [(0, 1e300), (1, -1e300)], [(0, 0), (0, 0)], [(5, .leastNonzeroMagnitude), (4, 3)], [(-1e200, 1), (1e200, 2)],
    ]
    @Test(arguments: odd) func `strange data are drawn without harm`(points: [(x: Double, y: Double)]) {
        for scale in [AxisScale.linear, .logarithmic] {
            for style in [Figure.Series.Style.line, .raw, .dots, .steps] {
                let panel = Figure.Panel(yLabel: "y", scale: scale, series: [.init("s", points, style: style, showsLastValue: true)], bands: [.init(0.1...0.2, label: "b")])
                #expect(Figure(title: "t", panels: [panel]).draw(scale: 1).width == 880)
            }
        }
        #expect(Figure(title: "t", panels: []).draw().height > 0)
    }

    @Test func `texts of every kind are drawn without harm`() {
        for text in ["", "\0\u{1}\n", String(repeating: "long ", count: 400), "损失 🎨 שלום", "<b>&amp;</b>"] {
            let figure = Figure(title: text, subtitle: text, panels: [.init(yLabel: text, series: [.init(text, [(0, 1), (1, 2)])])], xLabel: text, marks: [.init(x: 0.5, label: text)])
            #expect(figure.draw(scale: 1).width == 880)
        }
    }
}
