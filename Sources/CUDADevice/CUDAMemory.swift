import CCUDA
import Synchronization
import TensorCore

/// The card's memory: large segments from the driver, cut into the blocks that the pool asks for.
///
/// The driver waits for the card whenever memory is given back to it; here a block only changes lists. Work is done in the order in which it
/// was queued, so what was freed may be handed out at once.
final class CUDAMemory: MemorySource, @unchecked Sendable {
    private let context: OpaquePointer
    private let name: String
    private let state = Mutex(State())
    /// What to forget when a block is freed.
    let copies = CopiesOfWeights()

    /// A run of free bytes.
    fileprivate struct Gap: @unchecked Sendable {
        var start: UnsafeMutableRawPointer
        var bytes: Int
        var end: UnsafeMutableRawPointer { start + bytes }
    }

    fileprivate struct State: @unchecked Sendable {
        /// Whole segments by their address.
        var segments: [UnsafeMutableRawPointer: Int] = [:]
        /// By address; neighbours of one segment are joined.
        var gaps: [Gap] = []
        var exhausted: (bytes: Int, inUse: Int) = (0, 0)
    }

    /// Smaller segments would not be worth the driver's time.
    private static let smallestSegment = 64 << 20

    init(_ context: OpaquePointer, name: String) {
        self.context = context
        self.name = name
    }

    /// How much was asked for when there was no room.
    var exhausted: (bytes: Int, inUse: Int) { state.withLock { $0.exhausted } }
    /// Bytes that the driver has given.
    var reserved: Int { state.withLock { $0.segments.values.reduce(0, +) } }

    func obtain(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        let bytes = Self.rounded(byteCount)
        if let block = state.withLock({ $0.take(bytes) }) { return block }
        guard addSegment(for: bytes) else { return nil }
        return state.withLock { $0.take(bytes) }
    }

    func giveBack(_ block: UnsafeMutableRawPointer, _ byteCount: Int) {
        state.withLock { $0.insert(block, Self.rounded(byteCount)) }
    }

    func isFreed(_ block: UnsafeMutableRawPointer) { copies.forget(block) }

    func isTrimmed() {
        let whole = state.withLock { $0.removeWholeSegments() }
        for segment in whole { ccuda_free(context, segment) }
    }

    /// At the end, when no tensor lies here any more.
    func giveBackAll() {
        for segment in state.withLock({ $0.segments.keys.map { $0 } }) { ccuda_free(context, segment) }
    }

    func isExhausted(by byteCount: Int, inUse: Int) {
        state.withLock { $0.exhausted = (byteCount, inUse) }
        ccuda_fail(context, CCUDA_NO_MEMORY, "The memory of \(name) is used up.")
    }

    private static func rounded(_ byteCount: Int) -> Int { (byteCount + 255) & ~255 }

    /// Asks the driver: for a large segment, and if it has none for one that is just large enough.
    private func addSegment(for bytes: Int) -> Bool {
        let exact = (bytes + (2 << 20) - 1) & ~((2 << 20) - 1)
        for size in [max(exact, Self.smallestSegment), exact] {
            guard let segment = ccuda_allocate(context, size) else { continue }
            state.withLock { s in
                s.segments[segment] = size
                s.insert(segment, size)
            }
            return true
        }
        return false
    }
}

extension CUDAMemory.State {
    /// From the smallest gap that is large enough.
    fileprivate mutating func take(_ bytes: Int) -> UnsafeMutableRawPointer? {
        var best: Int?
        for (index, gap) in gaps.enumerated() where gap.bytes >= bytes && gap.bytes < best.map({ gaps[$0].bytes }) ?? .max { best = index }
        guard let best else { return nil }
        let start = gaps[best].start
        gaps[best].start += bytes
        gaps[best].bytes -= bytes
        if gaps[best].bytes == 0 { gaps.remove(at: best) }
        return start
    }

    fileprivate mutating func insert(_ start: UnsafeMutableRawPointer, _ bytes: Int) {
        var (low, high) = (0, gaps.count)
        while low < high {
            let middle = (low + high) / 2
            if gaps[middle].start < start { low = middle + 1 } else { high = middle }
        }
        gaps.insert(CUDAMemory.Gap(start: start, bytes: bytes), at: low)
        if low + 1 < gaps.count { join(low) }
        if low > 0 { join(low - 1) }
    }

    /// Joins a gap and the next one if they touch within a segment.
    private mutating func join(_ index: Int) {
        let next = gaps[index + 1]
        guard gaps[index].end == next.start, segments[next.start] == nil else { return }
        gaps[index].bytes += next.bytes
        gaps.remove(at: index + 1)
    }

    /// Takes out the segments of which nothing is in use.
    fileprivate mutating func removeWholeSegments() -> [UnsafeMutableRawPointer] {
        let whole = gaps.filter { segments[$0.start] == $0.bytes }.map(\.start)
        gaps.removeAll { segments[$0.start] == $0.bytes }
        for segment in whole { segments[segment] = nil }
        return whole
    }
}
