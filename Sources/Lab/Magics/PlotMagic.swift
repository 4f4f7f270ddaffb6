import Kernel

/// `%plot`: draws what was recorded, also while a run goes on; so it is given the board alone, not the session.
struct PlotMagic: Magic {
    let board: Noticeboard

    let specification = MagicSpecification(
        name: "plot", summary: "Draws the loss and other series of the training runs.",
        details: "`loss`: each step, the mean over one epoch, and the held-out pictures. `lr`: the learning rate. `norm`: the gradient's norm before clipping.",
        positionals: [.init("series", .choice(LossPlot.Series.allCases.map(\.rawValue)), "what to draw; loss and lr when not given", isOptional: true, isRepeatable: true)],
        options: [.init("all", aliases: ["runs"], .flag, "Draws the runs before the present one, too.")],
        examples: ["%plot", "%plot loss norm", "%plot loss --all"], runsAlongside: true)

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            let runs = call.isSet("all") ? board.runs : board.runs.suffix(1)
            guard let last = runs.last else { throw LabError.noRun }
            let asked = call.strings("series").compactMap { LossPlot.Series(rawValue: $0) }
            let plot = LossPlot(
                title: "Training: " + (runs.count == 1 ? last.name : "\(runs.count) runs"), runs: Array(runs),
                series: asked.isEmpty ? [.loss, .lr] : asked, showsBand: board.guideApplies)
            cell.display(try plot.display())
        }
    }
}
