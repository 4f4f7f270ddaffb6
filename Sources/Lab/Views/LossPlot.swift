import Imaging
import Kernel
import Plotting

/// The figure that moves while a run trains, and that `%plot` draws afterwards.
struct LossPlot {
    /// What can be drawn, each in a panel of its own.
    enum Series: String, CaseIterable, Sendable {
        case loss, lr, norm
    }

    var title: String
    var subtitle = ""
    var runs: [RecordedRun]
    var series: [Series] = [.loss, .lr]
    /// Whether the guide's band is drawn.
    var showsBand: Bool

    /// A line has no more points than this: the plot has fewer columns of pixels.
    private static let pointLimit = 2000

    func display(effort: PNG.Effort = .small) throws -> DisplayData {
        try DisplayData(card: figure.draw(), plain: plain, effort: effort)
    }

    private var figure: Figure {
        Figure(
            title: title, subtitle: subtitle, panels: series.map(panel),
            marks: runs.count == 1 ? runs[0].history.epochs.map { .init(x: Double($0.step), label: "\($0.epoch)") }
                + runs[0].history.changes.map { .init(x: Double($0.step), label: $0.text, kind: .event) } : [])
    }

    private func panel(_ series: Series) -> Figure.Panel {
        switch series {
        case .loss:
            let bands = showsBand ? [Figure.Band(LossAdvice.band, label: "the guide's band 0.07–0.09")] : []
            return Figure.Panel(yLabel: "loss", series: runs.enumerated().flatMap(losses), bands: bands)
        case .lr:
            return Figure.Panel(yLabel: "learning rate", series: runs.enumerated().map { index, run in
                Figure.Series(name(run, "learning rate"), points(run.history.steps) { $0.learningRate }, style: .steps, colour: colour(index, alone: .grey))
            }, height: 90)
        case .norm:
            return Figure.Panel(yLabel: "gradient norm", series: runs.enumerated().map { index, run in
                Figure.Series(name(run, "gradient norm"), points(run.history.steps) { $0.gradientNorm ?? .nan }, colour: colour(index, alone: .purple))
            }, height: 120)
        }
    }

    private func losses(_ index: Int, _ run: RecordedRun) -> [Figure.Series] {
        let history = run.history
        let averages = thinned(history.averages).map { (Double($0.step), $0.loss) }
        var lines = [Figure.Series(name(run, "mean over one epoch"), averages, colour: colour(index, alone: .blue), showsLastValue: true)]
        if runs.count == 1 { lines.insert(Figure.Series("each step", points(history.steps) { $0.loss }, style: .raw, colour: .blue), at: 0) }
        if !history.heldOut.isEmpty {
            lines.append(Figure.Series(
                name(run, "held-out pictures, fixed noise"), history.heldOut.map { (Double($0.step), $0.loss) }, style: .dots,
                colour: colour(index, alone: .vermilion), showsLastValue: true))
        }
        return lines
    }

    private func name(_ run: RecordedRun, _ what: String) -> String { runs.count == 1 ? what : "\(run.name): \(what)" }

    private func colour(_ index: Int, alone: Colour) -> Colour { runs.count == 1 ? alone : Colour.series[index % Colour.series.count] }

    private func points(_ steps: [RunHistory.Step], _ value: (RunHistory.Step) -> Double) -> [(x: Double, y: Double)] {
        thinned(steps).map { (Double($0.step), value($0)) }
    }

    /// Every n-th, the last always.
    private func thinned<Element>(_ all: [Element]) -> [Element] {
        guard all.count > Self.pointLimit, let last = all.last else { return all }
        let stride = (all.count + Self.pointLimit - 1) / Self.pointLimit
        return all.indices.filter { $0 % stride == 0 }.map { all[$0] } + [last]
    }

    // MARK: In words

    private var plain: String {
        ([title + (subtitle.isEmpty ? "" : " – \(subtitle)")] + runs.flatMap(lines)).joined(separator: "\n")
    }

    /// First and last of each series, the epochs' means, and what changed.
    private func lines(_ run: RecordedRun) -> [String] {
        let history = run.history
        var lines: [String] = runs.count > 1 ? ["\(run.name):"] : []
        if series.contains(.loss), let last = history.averages.last {
            lines.append("loss, mean over one epoch: \(Words.fixed(last.loss, 4)) at step \(last.step)")
            let means = zip(history.epochs, history.epochMeans).map { "epoch \($0.epoch): \(Words.fixed($1, 4))" }
            if !means.isEmpty { lines.append("loss by epoch: " + means.joined(separator: ", ")) }
        }
        if series.contains(.loss), let first = history.heldOut.first, let last = history.heldOut.last {
            lines.append("held-out pictures, fixed noise: \(Words.fixed(first.loss, 4)) at step \(first.step), \(Words.fixed(last.loss, 4)) at step \(last.step)")
        }
        if series.contains(.lr), let last = history.steps.last { lines.append("learning rate: \(Words.rate(last.learningRate)) at step \(last.step)") }
        if series.contains(.norm), let norm = history.steps.last?.gradientNorm { lines.append("gradient norm: \(Words.fixed(norm, 4))") }
        return lines + history.changes.map { "changed at step \($0.step): \($0.text)" }
    }
}
