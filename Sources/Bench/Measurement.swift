import Foundation
import Glibc
import TensorCore

/// Repeated timings of one job, with what else the machine did meanwhile, as one JSON object.
///
/// The keys are those of the PyTorch peer it is read beside: times in milliseconds, memory in MiB, `cores_used`, `other_cores_busy` and `steal`
/// in cores; `ref_gflops` is a 1024³ matrix product before each repetition, since a virtual machine's cores come and go.
struct Measurement {
    var job: String
    /// Facts of the job to print beside the figures.
    var facts: [String: Any] = [:]
    var warmUps = 1
    var repetitions = 5
    /// Whether the processor's speed is measured before each repetition; a card would cool down meanwhile.
    var looksAtProcessor = true

    /// Runs `step` and returns the object.
    func run(_ step: () throws -> Void) rethrows -> [String: Any] {
        for _ in 0..<warmUps { try step() }
        let before = SystemMemory.resident >> 20
        var times: [Double] = [], references: [Double] = []
        let start = Ticks.now
        for _ in 0..<repetitions {
            if looksAtProcessor { references.append(Self.referenceGFLOPS()) }
            times.append(try Self.milliseconds(step))
        }
        if looksAtProcessor { references.append(Self.referenceGFLOPS()) }
        let use = Ticks.now.since(start)
        let sorted = times.sorted()
        var report: [String: Any] = [
            "peer": "loralab", "job": job, "threads": Engine.threads, "dtype": "fp32", "reps": repetitions,
            "median_ms": median(sorted), "min_ms": sorted[0], "max_ms": sorted[sorted.count - 1],
            "times_ms": times.prefix(12).map { rounded($0, 10) }, "ref_gflops": references.prefix(12).map { Int($0.rounded()) },
            "rss_before_mb": before, "peak_rss_mb": SystemMemory.peak >> 20,
            "cores_used": use.own, "other_cores_busy": use.others, "steal": use.stolen,
        ]
        for key in ["median_ms", "min_ms", "max_ms"] { report[key] = rounded(report[key] as? Double ?? 0, 1000) }
        for key in ["cores_used", "other_cores_busy", "steal"] { report[key] = rounded(report[key] as? Double ?? 0, 100) }
        return report.merging(facts) { _, fact in fact }
    }

    private func median(_ sorted: [Double]) -> Double {
        (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    private func rounded(_ value: Double, _ scale: Double) -> Double { (value * scale).rounded() / scale }

    private static func milliseconds(_ body: () throws -> Void) rethrows -> Double {
        let start = DispatchTime.now().uptimeNanoseconds
        try body()
        return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
    }

    /// The best of four 1024³ products, in 10⁹ floating point operations a second.
    private static func referenceGFLOPS() -> Double {
        let n = 1024, ones = Tensor.ones([n, n])
        let best = (0..<4).map { _ in milliseconds { _ = ones.matmul(ones) } }.min() ?? .infinity
        return 2e-6 * Double(n * n * n) / best
    }
}

/// Processor time so far, in seconds, of this process and of the whole machine.
private struct Ticks {
    var busy: Double, stolen: Double, own: Double, wall: Double

    static var now: Ticks {
        let hertz = Double(sysconf(Int32(_SC_CLK_TCK)))
        let line = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8))?.split(separator: "\n").first ?? ""
        let v = line.split(separator: " ").dropFirst().compactMap { Double($0) } + [Double](repeating: 0, count: 8)
        var spent = tms()
        let clock = times(&spent)
        return Ticks(
            busy: (v[0] + v[1] + v[2] + v[5] + v[6]) / hertz, stolen: v[7] / hertz,
            own: Double(spent.tms_utime + spent.tms_stime) / hertz, wall: Double(clock) / hertz)
    }

    /// Cores in use by this process, by others, and withheld by the host, on average since `start`.
    func since(_ start: Ticks) -> (own: Double, others: Double, stolen: Double) {
        let wall = max(self.wall - start.wall, 1e-9), mine = own - start.own
        return (mine / wall, max(0, busy - start.busy - mine) / wall, (stolen - start.stolen) / wall)
    }
}
