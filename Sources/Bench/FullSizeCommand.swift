import ArgumentParser
import Diffusion
import Foundation
import Models
import TensorCore
import Training

/// How a job is repeated and told, and where its models are kept.
struct BenchOptions: ParsableArguments {
    @Option(help: "sd15 or sdxl, in full size with random weights.") var family = FullSizeModel.sd15
    @Option(help: "Where the models are kept once they are made (2, 7 and 0.5 GB).") var folder = NSTemporaryDirectory() + "loralab-full-size"
    @Option(help: "Repetitions that are timed.") var reps = 5
    @Option(help: "Repetitions before the clock starts.") var warmup = 1
    @Option(help: "Threads; all processors when not given.") var threads: Int?
    @Flag(help: "One JSON object instead of a sentence.") var json = false
    @Flag(help: "Tell where the time of one repetition goes, by operation.") var operations = false
    @OptionGroup var place: BenchDevice

    func validate() throws {
        guard reps >= 1, warmup >= 0, threads ?? 1 >= 1 else { throw ValidationError("--reps and --threads are at least 1, --warmup at least 0.") }
    }

    /// Runs a job in this process and prints what it took.
    func run(_ job: BenchJob, _ o: BenchJob.Options) throws {
        if let threads { Engine.setThreads(threads) }
        guard !place.isCard || job.runsOnCard else { throw BenchError("On a card: \(BenchJob.allCases.filter(\.runsOnCard).map(\.rawValue).joined(separator: ", ")).") }
        let device = try place.open()
        var facts: [String: Any] = [:], side = o.size ?? family.side
        let step: () throws -> Void
        switch job {
        case .load:
            let start = DispatchTime.now().uptimeNanoseconds, base = try BaseModel.load(path: "\(folder)/\(family.rawValue)")
            facts = [
                "load_s": Double((DispatchTime.now().uptimeNanoseconds - start) / 10_000_000) / 100, "load_peak_mb": SystemMemory.peak >> 20,
                "weights_mb": base.sizes.reduce(0) { $0 + $1.bytes } >> 20,
            ]
            step = {}
        case .blip:
            let captioner = try BLIPCaptioner.fullSize(in: folder + "/blip-base")
            (step, side) = (BenchJob.captioning(captioner, o), captioner.imageSize)
        default: step = try job.step("\(folder)/\(family.rawValue)", o, family: family, side: side, on: device)
        }
        facts["family"] = job == .blip ? "blip-base" : family.rawValue
        facts.merge(o.facts(of: job, side: side)) { $1 }
        if operations { return try OperationTable(job: job.rawValue, step).print(json: json) }
        let isLoading = job == .load
        var report = try Measurement(
            job: job.rawValue, facts: facts, warmUps: isLoading ? 0 : warmup, repetitions: isLoading ? 1 : reps, looksAtProcessor: !place.isCard).run(step)
        report.merge(BenchDevice.facts(device)) { $1 }
        if json { return print(String(decoding: try JSONSerialization.data(withJSONObject: report, options: [.sortedKeys]), as: UTF8.self)) }
        let settings = o.facts(of: job, side: side).sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        print(isLoading
            ? "\(family.rawValue) load: \(report["load_s"] ?? "?") s, peak \(report["load_peak_mb"] ?? "?") MiB for \(report["weights_mb"] ?? "?") MiB of weights"
            : "\(job == .blip ? "blip-base" : family.rawValue) \(job.rawValue) (\(settings)): \(report["median_ms"] ?? "?") ms, peak \(report["peak_rss_mb"] ?? "?") MiB, \(Engine.threads) threads")
    }

    /// Makes the models that jobs need, before any clock starts.
    func prepare(_ jobs: [BenchJob]) throws {
        if place.isCard { return }                          // a card's models are made in memory
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        if jobs.contains(where: { $0 != .blip }) { try family.write(to: "\(folder)/\(family.rawValue)") }
        if jobs.contains(.blip) { _ = try BLIPCaptioner.fullSize(in: folder + "/blip-base") }
    }

    /// The same job in a process of its own, so that its peak memory is its own.
    func runApart(_ job: BenchJob, _ o: BenchJob.Options) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        var arguments = (CommandLine.arguments.dropFirst().first == "bench" ? ["bench"] : []) + ["job", job.rawValue, "--family", family.rawValue, "--folder", folder, "--reps", "\(reps)", "--warmup", "\(warmup)"]
        arguments += ["--batch", "\(o.batch)", "--rank", "\(o.rank)", "--targets", o.targets.rawValue, "--beams", "\(o.beams)", "--tokens", "\(o.tokens)", "--steps", "\(o.steps)"]
        if let size = o.size { arguments += ["--size", "\(size)"] }
        if let threads { arguments += ["--threads", "\(threads)"] }
        process.arguments = arguments + place.arguments + [(o.checkpoint, "--checkpoint"), (json, "--json"), (operations, "--operations")].compactMap { $0 ? $1 : nil }
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw BenchError("The job \(job.rawValue) ended with status \(process.terminationStatus).") }
    }
}

/// `loralab bench unet-forward` and the others: one job of the peer's names.
protocol JobCommand: ParsableCommand {
    static var job: BenchJob { get }
    var options: BenchOptions { get }
    var settings: BenchJob.Options { get }
}

extension JobCommand {
    static var configuration: CommandConfiguration { CommandConfiguration(commandName: job.rawValue, abstract: job.summary) }

    func run() throws {
        try options.prepare([Self.job])
        try options.runApart(Self.job, settings)
    }
}

struct ClipCommand: JobCommand {
    static let job = BenchJob.clip
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

struct UNetForwardCommand: JobCommand {
    static let job = BenchJob.unetForward
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

struct TrainStepCommand: JobCommand {
    static let job = BenchJob.trainStep
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

struct VAEEncodeCommand: JobCommand {
    static let job = BenchJob.vaeEncode
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

struct VAEDecodeCommand: JobCommand {
    static let job = BenchJob.vaeDecode
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

struct BlipCommand: JobCommand {
    static let job = BenchJob.blip
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

struct SampleCommand: JobCommand {
    static let job = BenchJob.sample
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options
}

/// `loralab bench full-size`: one job after the other, each in a process of its own.
struct FullSizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "full-size", abstract: "Load, encode a prompt, one sampling step, one training step, decode: Stable Diffusion 1.5 or XL in full size with random weights.")

    @Option(help: "Jobs, separated by commas: \(BenchJob.allCases.map(\.rawValue).joined(separator: ", ")).") var jobs = "load,clip,unet-forward,train-step,vae-decode"
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options

    func run() throws {
        let chosen = try jobs.split(separator: ",").map { name in
            guard let job = BenchJob(rawValue: String(name)) else { throw ValidationError("There is no job “\(name)”: \(BenchJob.allCases.map(\.rawValue).joined(separator: ", ")).") }
            return job
        }
        try options.prepare(chosen)
        for job in chosen { try options.runApart(job, settings) }
    }
}

/// What `runApart` starts.
struct BenchJobCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "job", shouldDisplay: false)

    @Argument var job: BenchJob
    @OptionGroup var options: BenchOptions
    @OptionGroup var settings: BenchJob.Options

    func run() throws { try options.run(job, settings) }
}

extension FullSizeModel: ExpressibleByArgument {}
extension BenchJob: ExpressibleByArgument {}
