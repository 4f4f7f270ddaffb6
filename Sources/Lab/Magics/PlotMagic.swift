import Kernel

/// `%plot`: draws what was recorded.
struct PlotMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "plot", summary: "Draws the loss and other series of the training runs.",
        details: "`loss`: each step, the mean over one epoch, and the held-out pictures. `lr`: the learning rate. `norm`: the gradient's norm before clipping.",
        positionals: [.init("series", .choice(LossPlot.Series.allCases.map(\.rawValue)), "what to draw; loss and lr when not given", isOptional: true, isRepeatable: true)],
        options: [.init("all", aliases: ["runs"], .flag, "Draws the runs before the present one, too.")],
        examples: ["%plot", "%plot loss norm", "%plot loss --all"], runsAlongside: true)

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            let runs = call.isSet("all") ? session.pastRuns + [present].compactMap { $0 } : [present ?? session.pastRuns.last].compactMap { $0 }
            guard !runs.isEmpty else { throw LabError.noRun }
            let asked = call.strings("series").compactMap { LossPlot.Series(rawValue: $0) }
            let plot = LossPlot(
                title: runs.count == 1 ? "Training: \(runs[0].name)" : "Training: \(runs.count) runs", runs: runs.map { .init(name: $0.name, history: $0.history) },
                series: asked.isEmpty ? [.loss, .lr] : asked, showsBand: session.model?.guideApplies ?? false)
            cell.display(try plot.display())
        }
    }

    private var present: (name: String, history: RunHistory)? {
        session.history.isEmpty ? nil : (session.trainer?.configuration.outputName ?? "run", session.history)
    }
}
