import ArgumentParser
import Foundation
import TensorCore

/// `loralab bench`: times on this machine, to be read beside another program's.
public struct BenchCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Time the engine on this machine.", 
        subcommands: [
            UNetForwardCommand.self, TrainStepCommand.self, VAEEncodeCommand.self, VAEDecodeCommand.self, ClipCommand.self, BlipCommand.self, SampleCommand.self,
            TinyTrainCommand.self, FullSizeCommand.self, CardParityCommand.self, BenchJobCommand.self,
        ])

    public init() {}
}

/// `loralab bench tiny-train`.
struct TinyTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tiny-train", abstract: "A LoRA training step of a small UNet (batch 8, 128×128 pixels, rank 8).")

    @Option(help: "Pictures in a step.") var batch = 8
    @Option(help: "Rank of the adapter.") var rank = 8
    @Option(help: "Steps that are timed.") var reps = 5
    @Option(help: "Steps before the clock starts.") var warmup = 1
    @Option(help: "Threads; all processors when not given.") var threads: Int?
    @Flag(help: "One JSON object instead of a sentence.") var json = false
    @Flag(help: "Tell where the time of one repetition goes, by operation.") var operations = false
    @OptionGroup var place: BenchDevice

    func validate() throws {
        guard batch >= 1, rank >= 1, reps >= 1, warmup >= 0, threads ?? 1 >= 1 else {
            throw ValidationError("--batch, --rank, --reps and --threads are at least 1, --warmup at least 0.")
        }
    }

    func run() throws {
        if let threads { Engine.setThreads(threads) }
        let device = try place.open()
        var job = try TinyTrain(batch: batch, rank: rank, on: device)
        if operations { return try OperationTable(job: "tiny-train") { try job.step() }.print(json: json) }
        try job.step()
        let facts: [String: Any] = [
            "size": 128, "batch": batch, "lora": "loralab", "targets": "attn", "rank": rank, "checkpoint": false, "channels_last": true,
            "compile": false, "freeze": false, "trainable": job.trainable,
        ]
        var report = try Measurement(job: "tiny-train", facts: facts, warmUps: warmup, repetitions: reps, looksAtProcessor: !place.isCard).run { try job.step() }
        report.merge(BenchDevice.facts(device)) { $1 }
        if json {
            let data = try JSONSerialization.data(withJSONObject: report, options: [.sortedKeys])
            print(String(decoding: data, as: UTF8.self))
        } else {
            print("tiny-train: \(report["median_ms"] ?? "?") ms a step (median of \(reps)), \(batch) pictures a step, "
                + "\(report["threads"] ?? "?") threads, peak \(report["peak_rss_mb"] ?? "?") MiB")
        }
    }
}
