import Adapters
import Foundation
import Kernel
import Lab
import Testing
import Training

@Suite("Settings that a run refuses", .serialized)
struct SetTests {
    private static let line = "train --epochs 2 --batch 1 --rank 2 --seed 5 --lr 1e-3 --scheduler constant"

    /// Losses of the run that nobody disturbs, and the adapter at its end.
    private static func undisturbed() throws -> (losses: [Double], adapter: AdapterSnapshot) {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run(line)
        return (cells.session.history.steps.map(\.loss), try #require(cells.session.network?.snapshot()))
    }

    private static let reference = Result { try undisturbed() }

    /// The same run with something posted when its plot appears.
    private static func disturbed(by posts: [Settings]) throws -> Cells {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let session = cells.session
        try cells.run(line, interruptWhen: { event in
            if case .display(let data, _) = event, data.png != nil { posts.forEach(session.post) }
            return false
        })
        return cells
    }

    @Test("a refused post is dropped whole and told once; the run and its numbers are those of nothing posted, and the next run starts", arguments: [
        ("min_snr_gamma=1e-9", "Not taken: min_snr_gamma = 1e-09. Reason: min_snr_gamma = 1e-09: allowed is 0.01 to 1000.0. The nearest is 0.01."), ("network=loha", "the adapter in training is a LoRA; it cannot become a LoHa"),
        ("memory=100MB", "a step would take about"), ("unet_lr=0", "neither the UNet nor the text encoder would learn"), ("seed=6", "the seed holds for the adapter's whole life"),
        ("clip_skip=9", "layers of this text encoder"), ("network_weights=missing.safetensors", "this run has begun"), ("output_dir=/proc/none", "cannot be written"),
        ("sample_prompts=missing.txt", "missing.txt cannot be read"),
        ("lr=1e-5 rank=4 network=loha", "Not taken because of network: learning_rate = 1e-05, network = loha, network_dim = 4"),
        ("rank=4 batch=2 min_snr_gamma=1e-9 clip_skip=9", "because of min_snr_gamma and clip_skip"),
        ("memory=230MB rank=1024", "Not taken: network_dim = 1024, memory = 230MB"),
    ])
    func refused(assignments: String, said: String) throws {
        let reference = try Self.reference.get()
        let cells = try Self.disturbed(by: [try Settings.posted(assignments.split(separator: " ").map(String.init))])
        #expect(cells.last.text.contains(said), "\(cells.last.text)")
        #expect(cells.last.text.components(separatedBy: "Not taken").count == 2)
        #expect(cells.last.text.components(separatedBy: "The run goes on as it was.").count == 2)
        #expect(cells.session.trainer?.position.step == 12)
        #expect(cells.session.history.steps.map(\.loss) == reference.losses)
        #expect(cells.session.history.changes.isEmpty)
        let adapter = try #require(cells.session.network?.snapshot())
        #expect(adapter == reference.adapter)
        try cells.run("train --epochs 1")
        #expect(cells.session.trainer?.position.step == 18)
    }

    @Test("of several posts each is judged for itself")
    func postByPost() throws {
        let cells = try Self.disturbed(by: [try Settings.posted(["lr=1e-4"]), try Settings.posted(["network=loha", "rank=4"]), try Settings.posted(["clip=0.5"])])
        let configuration = try #require(cells.session.trainer?.configuration)
        #expect((configuration.learningRate, configuration.maximumGradientNorm, configuration.rank) == (1e-4, 0.5, 2))
        #expect(cells.last.text.contains("Changed: lr 0.001 → 0.0001") && cells.last.text.contains("Not taken because of network"))
        #expect(cells.session.trainer?.position.step == 12)
    }

    @Test("a run that is told to be no longer than it is, ends there")
    func shorter() throws {
        let cells = try Self.disturbed(by: [try Settings.posted(["steps=1"])])
        let trainer = try #require(cells.session.trainer)
        #expect((1..<12).contains(trainer.position.step) && trainer.isRunDone)
        #expect(cells.last.text.contains("Done: "))
    }

    @Test("what waits for a run and keeps it from starting is dropped with the error; the rest waits on", arguments: [
        "min_snr_gamma=1e-9", "memory=100MB", "network_weights=missing.safetensors", "unet_lr=0", "clip_skip=9", "output_dir=/proc/none", "sample_prompts=missing.txt",
    ], [true, false])
    func waiting(assignment: String, goesOn: Bool) throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        if goesOn { try cells.run("train --steps 1 --rank 2") }
        cells.session.post(try Settings.posted(["lr=2e-4"]))
        cells.session.post(try Settings.posted([assignment, "epochs=3"]))
        let error = try #require(cells.failure("train --batch 3"))
        let name = assignment.prefix { $0 != "=" }
        #expect(error.hint?.contains("Dropped because of \(name)") == true && error.hint?.contains("the next %train goes without") == true, "\(error)")
        #expect(cells.session.trainer?.position.step == (goesOn ? 1 : nil))
        try cells.run("train --steps 1 --batch 3")
        #expect(cells.session.trainer?.position.step == (goesOn ? 2 : 1))
        #expect(cells.session.trainer?.configuration.learningRate == 2e-4 && cells.session.trainer?.configuration.epochs == 1)
    }

    @Test("where %train's own line is at fault, what waits goes on waiting")
    func ownFault() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("set rank=3")
        #expect(cells.failure("train --clip_skip 9") != nil)
        try cells.run("train --steps 1")
        #expect(cells.session.network?.size?.rank == 3)
    }

    @Test("too little memory in %train's own line does not stay behind either")
    func ownMemory() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        #expect(cells.failure("train --steps 1 --rank 2 --memory 100MB")?.message.contains("GiB") == true)
        #expect(cells.session.trainer == nil)
        try cells.run("train --steps 1 --rank 2")
        #expect(cells.failure("train --steps 1 --rank 4 --memory 100MB")?.message.contains("GiB") == true)
        #expect(cells.session.network?.size?.rank == 2)
        try cells.run("train --steps 1")
        #expect(cells.session.trainer?.position.step == 2)
    }

    @Test("%set refuses at once what can be judged without the run", arguments: [
        ("min_snr_gamma=1e-9", "min_snr_gamma = 1e-09: allowed is 0.01 to 1000.0"), ("lr=0", "above 0"), ("lr=1e-4 rank=0", "1 to 1024"), ("scheduler=cosin", "cosine"),
        ("memory=soon", "100 MB or more"), ("network_args=algo=lokr,factor=x", "factor"), ("warmup=soon", "10%"),
    ])
    func atOnce(assignments: String, said: String) throws {
        let cells = try Cells()
        let error = try #require(cells.failure("set \(assignments)"))
        #expect((error.message + (error.hint ?? "")).contains(said), "\(error)")
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("train --steps 1 --rank 2")
        #expect(cells.session.trainer?.configuration.objective.minSNRGamma == nil)
    }

    @Test("contradictions may be solved by another %set before a run, not within one")
    func contradictions() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        try cells.run("set unet_lr=0")
        try cells.run("set te_lr=1e-4")
        let session = cells.session, magic = try #require(Lab.magics(session).first { $0.specification.name == "set" })
        let refusals = Refusals()
        try cells.run("train --epochs 1 --batch 1 --rank 2", interruptWhen: { event in
            guard case .display(let data, _) = event, data.png != nil else { return false }
            for line in ["te_lr=0", "network=loha", "seed=77", "network_weights=x.safetensors", "lr=5e-5"] { refusals.try(line, magic) }
            return false
        })
        #expect(refusals.lines == ["te_lr=0", "network=loha", "seed=77", "network_weights=x.safetensors"])
        #expect(session.trainer?.configuration.learningRate == 5e-5 && session.trainer?.position.step == 6)
    }

    /// Lines of `%set` that failed beside a run; used by that run's thread alone.
    private final class Refusals: @unchecked Sendable {
        private(set) var lines: [String] = []

        func `try`(_ line: String, _ magic: any Magic) {
            do {
                try magic.run(MagicCall(arguments: line, of: magic.specification), in: CellContext(executionCount: 99, interruption: Interruption()) { _ in })
            } catch {
                lines.append(line)
            }
        }
    }
}
