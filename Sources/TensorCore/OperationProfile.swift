import Glibc
import Synchronization
import Threads

/// Where the time of some work goes, by operation: forward and backward apart, with the arithmetic and the memory traffic that the
/// shapes ask for.
public struct OperationTime: Sendable {
    public let name: String
    public internal(set) var calls = 0
    public internal(set) var seconds = 0.0
    /// Multiplications and additions.
    public internal(set) var flops = 0.0
    /// Of operands and results, each counted once a call.
    public internal(set) var bytes = 0.0
}

extension Engine {
    /// Runs `body` and tells how long each operation of this thread took, the longest first. What lies between two operations counts
    /// for the latter.
    public static func profile(_ body: () throws -> Void) rethrows -> [OperationTime] {
        OperationProfile.start()
        defer { OperationProfile.stop() }
        try body()
        return OperationProfile.times
    }
}

/// The stopwatch behind `Engine.profile`; off, it costs the look at one flag for each operation.
enum OperationProfile {
    private struct State {
        var times: [String: OperationTime] = [:]
        var last: UInt64 = 0
        /// Operations inside a pullback count as a part of it.
        var isInPullback = false

        mutating func add(_ name: String, _ flops: Double, _ bytes: Int) {
            let time = OperationProfile.now
            var entry = times[name] ?? OperationTime(name: name)
            entry.calls += 1
            entry.seconds += Double(time - last) / 1e9
            entry.flops += flops
            entry.bytes += Double(bytes)
            times[name] = entry
            last = time
        }
    }
    private static let state = Monitor(State())
    private static let isOn = Atomic<Bool>(false)

    static func start() {
        state.withLock { $0 = State(last: now) }
        isOn.store(true, ordering: .relaxed)
    }

    static func stop() { isOn.store(false, ordering: .relaxed) }

    static var times: [OperationTime] { state.withLock { $0.times.values.sorted { $0.seconds > $1.seconds } } }

    /// An operation has just been asked for; it is done when its device says so.
    @inline(__always)
    static func mark(_ name: StaticString, _ flops: Double, _ value: Tensor, from inputs: [Tensor]) {
        if isOn.load(ordering: .relaxed) { count(name, flops, value, from: inputs) }
    }

    private static func count(_ name: StaticString, _ flops: Double, _ value: Tensor, from inputs: [Tensor]) {
        let bytes = inputs.reduce(value.byteCount) { $0 + $1.byteCount }
        value.device.synchronise()
        state.withLock { s in
            guard !s.isInPullback else { return }
            s.add("\(name)", flops, bytes)
        }
    }

    /// Runs a pullback; the checkpoint's is a forward and a backward pass of its own.
    ///
    /// - Parameter gradients: how many of the two operands of a product get one: each costs as much as the product. Attention computes
    ///   five products for the forward pass's two.
    static func pullback<R>(of node: Node, gradients: Int, on device: any Device, _ body: () -> R) -> R {
        let name = "\(node.name)"
        guard isOn.load(ordering: .relaxed), name != "checkpointed" else { return body() }
        state.withLock { ($0.isInPullback, $0.last) = (true, now) }
        defer {
            device.synchronise()
            state.withLock { s in
                s.isInPullback = false
                s.add("\(name), backward", node.flops * (name == "attention" ? 2.5 : Double(gradients)), 0)
            }
        }
        return body()
    }

    fileprivate static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
