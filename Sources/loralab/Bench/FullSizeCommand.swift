import ArgumentParser
import Diffusion
import Foundation
import Models
import TensorCore
import Training

/// `loralab bench full-size`.
struct FullSizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "full-size",
        abstract: "Load, encode a prompt, one sampling step, one training step, decode: Stable Diffusion 1.5 or XL in full size with random weights.",
        discussion: "The model (2 or 7 GB in float16) is written once into --folder. Each job runs in a process of its own, so that its peak memory is its own.")

    @Argument(help: "sd15 or sdxl.") var family: FullSizeModel
    @Option(help: "Jobs, separated by commas: load, encode, sample, train, decode.") var jobs = FullSizeJob.allCases.map(\.rawValue).joined(separator: ",")
    @Option(help: "Where the model is kept.") var folder = NSTemporaryDirectory() + "loralab-full-size"
    @Option(help: "Pixels along a side; the model's own when not given.") var size: Int?
    @Option(help: "Repetitions that are timed, after one warm-up.") var reps = 1
    @Option(help: "Threads; all processors when not given.") var threads: Int?
    @Flag(help: "Recompute in the backward pass of the training step.") var checkpoint = false
    @Flag(help: "One JSON object for each job instead of sentences.") var json = false
    @Flag(help: .hidden) var here = false

    func run() throws {
        let names = jobs.split(separator: ",").map(String.init), path = "\(folder)/\(family.rawValue)"
        let chosen = try names.map { name in
            guard let job = FullSizeJob(rawValue: name) else { throw ValidationError("There is no job “\(name)”: \(FullSizeJob.allCases.map(\.rawValue).joined(separator: ", ")).") }
            return job
        }
        if here { return try runHere(chosen[0], path) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try family.write(to: path)
        for job in chosen { try runApart(job) }
    }

    /// In a process of its own.
    private func runApart(_ job: FullSizeJob) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["bench", "full-size", family.rawValue, "--jobs", job.rawValue, "--folder", folder, "--reps", "\(reps)", "--here"]
            + (size.map { ["--size", "\($0)"] } ?? []) + (threads.map { ["--threads", "\($0)"] } ?? []) + (checkpoint ? ["--checkpoint"] : []) + (json ? ["--json"] : [])
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CommandError("The job \(job.rawValue) ended with status \(process.terminationStatus).") }
    }

    private func runHere(_ job: FullSizeJob, _ path: String) throws {
        if let threads { Engine.setThreads(threads) }
        let side = size ?? family.side, start = DispatchTime.now().uptimeNanoseconds
        let base = try BaseModel.load(path: path)
        let loading = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9, loadPeak = SystemMemory.peak >> 20
        let model = DiffusionModel(base, schedule: NoiseSchedule(try SchedulerConfiguration(json: base.schedulerConfiguration)), name: family.rawValue)
        let facts: [String: Any] = [
            "family": family.rawValue, "size": side, "load_s": (loading * 100).rounded() / 100, "load_peak_mb": loadPeak, "weights_mb": base.sizes.reduce(0) { $0 + $1.bytes } >> 20,
            "checkpoint": checkpoint,
        ]
        let step = try job.step(model, side: side, recomputes: checkpoint)
        let report = Measurement(job: job.rawValue, facts: facts, warmUps: job == .load ? 0 : 1, repetitions: reps).run(step)
        if json {
            print(String(decoding: try JSONSerialization.data(withJSONObject: report, options: [.sortedKeys]), as: UTF8.self))
        } else if job == .load {
            print("\(family.rawValue) load: \(facts["load_s"] ?? "?") s, peak \(loadPeak) MiB for \(facts["weights_mb"] ?? "?") MiB of weights")
        } else {
            print("\(family.rawValue) \(job.rawValue) at \(side) pixels\(checkpoint && job == .train ? ", recomputing" : ""): \(report["median_ms"] ?? "?") ms, peak \(report["peak_rss_mb"] ?? "?") MiB, \(Engine.threads) threads")
        }
    }
}

extension FullSizeModel: ExpressibleByArgument {}
