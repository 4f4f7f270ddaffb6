import Kernel

/// `%set`: changes the run that is going on, or the next one.
struct SetMagic: Magic {
    let session: Session

    let specification = MagicSpecification(
        name: "set", summary: "Changes settings of the run that is going on, or of the next one.",
        details: "`key=value`, with the names that `%train` takes. A run that is going on (in another cell, through a subshell) takes the change before its next step.",
        positionals: [.init("assignments", .text, "key=value", isOptional: true, isRepeatable: true)],
        examples: ["%set lr=5e-5", "%set learning_rate=1e-4 max_train_epochs=5"], runsAlongside: true)

    func suggestions(for argument: String, of subcommand: String?) -> [String] { KohyaNames.all.map { $0.name + "=" } }

    func run(_ call: MagicCall, in cell: CellContext) throws {
        try explained {
            let settings = try Settings(assignments: call.strings("assignments"), of: KohyaNames.all)
            guard !settings.isEmpty else {
                throw LabError.invalid("%set needs key=value", wayOut: "For example %set lr=5e-5; %help train lists the names.")
            }
            try session.requireSensible(settings)
            session.post(settings)
            let lines = settings.lines(KohyaNames.all).joined(separator: ", ")
            cell.say(session.work?.work == "train" ? "\(lines): from the next step on." : "\(lines): with the next %train.")
            for remark in settings.remarks() { cell.say(remark) }
        }
    }
}
