import Foundation
import TensorCore

/// Where the time of one repetition goes, by operation, beside what the machine can do: products of large matrices, and copying.
struct OperationTable {
    let job: String
    let seconds: Double
    let times: [OperationTime]
    /// 10⁹ floating point operations and bytes a second.
    let peak: (gflops: Double, gigabytes: Double)

    init(job: String, _ step: () throws -> Void) throws {
        try step()                                          // the first repetition fills caches and pools
        let peak = (Self.productPeak(), Self.copyPeak())
        times = try Engine.profile { try step() }
        (self.job, self.peak) = (job, peak)
        seconds = times.reduce(0) { $0 + $1.seconds }
    }

    func print(json: Bool) throws {
        if json {
            let rows: [[String: Any]] = times.map { ["operation": $0.name, "calls": $0.calls, "ms": $0.seconds * 1000, "share": $0.seconds / seconds, "gflops": rate($0), "fraction": fraction($0)] }
            let object: [String: Any] = ["job": job, "ms": seconds * 1000, "peak_gflops": peak.gflops, "peak_gb_s": peak.gigabytes, "threads": Engine.threads, "operations": rows]
            return Swift.print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]), as: UTF8.self))
        }
        Swift.print(String(format: "%@: %.0f ms by operation; the machine does %.0f GFLOP/s in products and copies %.1f GB/s", job, seconds * 1000, peak.gflops, peak.gigabytes))
        for time in times where time.seconds > seconds / 1000 {
            let name = time.name.padding(toLength: 26, withPad: " ", startingAt: 0)
            Swift.print("  \(name)" + String(format: "%6d calls %9.1f ms %5.1f %% %7.0f GFLOP/s %5.0f %% of its peak", time.calls, time.seconds * 1000, 100 * time.seconds / seconds, rate(time), 100 * fraction(time)))
        }
    }

    private func rate(_ time: OperationTime) -> Double { time.flops / time.seconds / 1e9 }

    /// Of the peak that bounds the operation more: arithmetic, or memory.
    private func fraction(_ time: OperationTime) -> Double {
        max(rate(time) / peak.gflops, time.bytes / time.seconds / 1e9 / peak.gigabytes)
    }

    private static func best(_ repetitions: Int, _ body: () -> Void) -> Double {
        (0..<repetitions).map { _ in
            let start = DispatchTime.now().uptimeNanoseconds
            body()
            return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        }.min() ?? .infinity
    }

    private static func productPeak() -> Double {
        let n = 2048, ones = Tensor.ones([n, n])
        return 2e-9 * Double(n * n * n) / best(4) { _ = ones.matmul(ones) }
    }

    private static func copyPeak() -> Double {
        let count = 32 << 20, ones = Tensor.ones([count])
        return 2 * 4e-9 * Double(count) / best(6) { _ = ones * 2 }
    }
}
