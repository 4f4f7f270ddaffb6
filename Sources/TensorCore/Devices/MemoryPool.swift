import Threads

/// Where a pool gets its blocks: a device's memory.
public protocol MemorySource: Sendable {
    /// A block of at least 64 bytes, aligned to 64; nil when there is no room.
    func obtain(_ byteCount: Int) -> UnsafeMutableRawPointer?
    func giveBack(_ block: UnsafeMutableRawPointer, _ byteCount: Int)
    /// Blocks from this size on can be cut in two, each part given back on its own, and grown; `.max` where none can.
    var reshapedFrom: Int { get }
    /// A block at another length, moved if need be; nil when that cannot be, the block then being as it was.
    func reshape(_ block: UnsafeMutableRawPointer, _ byteCount: Int, to wanted: Int) -> UnsafeMutableRawPointer?
    /// A block that was in use is free; the pool keeps it for the next tensor. What the source knows of its content is void.
    func isFreed(_ block: UnsafeMutableRawPointer)
    /// The pool has given back all it had free.
    func isTrimmed()
    /// There is no room for a block, even after everything free was given back: ends the process, or makes its device fail.
    func isExhausted(by byteCount: Int, inUse: Int)
}

extension MemorySource {
    public var reshapedFrom: Int { .max }
    public func reshape(_ block: UnsafeMutableRawPointer, _ byteCount: Int, to wanted: Int) -> UnsafeMutableRawPointer? { nil }
    public func isFreed(_ block: UnsafeMutableRawPointer) {}
    public func isTrimmed() {}
}

/// Freed blocks by size class, for the next tensor of that size: a training step asks for the same sizes again and again,
/// and fresh pages from the system cost more than most of the loops that fill them.
public final class MemoryPool: Sendable {
    private let source: any MemorySource

    public init(_ source: any MemorySource) { self.source = source }

    /// Memory that belongs to whoever holds this value, hence to one thread at a time.
    fileprivate struct Block: @unchecked Sendable {
        let pointer: UnsafeMutableRawPointer
        var capacity: Int
        /// Releases counted so far when this one was freed.
        var stamp = 0
    }

    struct State: ~Copyable {
        /// Free blocks by capacity, each used as a stack: the block freed last is the likeliest to be in cache.
        fileprivate var free: [Int: [Block]] = [:]
        fileprivate var releases = 0
        var bytesInUse = 0
        var peakBytes = 0
        var bytesFree = 0
        var freeLimit = 4 << 30

        /// Takes out the block that has been free for longest.
        fileprivate mutating func removeOldest() -> Block? {
            guard let capacity = free.min(by: { $0.value[0].stamp < $1.value[0].stamp })?.key else { return nil }
            let block = free[capacity]!.removeFirst()
            if free[capacity]!.isEmpty { free[capacity] = nil }
            bytesFree -= capacity
            return block
        }

        /// A free block that is cut to `capacity`, its rest staying free, or one to be grown: pages that are there cost less than fresh
        /// ones. nil for blocks that are not mapped on their own, and where nothing is free.
        ///
        /// - Parameter smallest: the smallest block that can be cut and grown.
        fileprivate mutating func reshapable(_ capacity: Int, from smallest: Int) -> Block? {
            guard capacity >= smallest else { return nil }
            let sizes = free.keys.filter { $0 >= smallest }
            if let larger = sizes.filter({ $0 > capacity }).min() {
                var block = pop(larger)
                let rest = larger - capacity
                if rest >= smallest {
                    push(Block(pointer: block.pointer + capacity, capacity: rest, stamp: block.stamp))
                    block.capacity = capacity
                }
                return block
            }
            return sizes.max().map { pop($0) }
        }

        fileprivate mutating func pop(_ capacity: Int) -> Block {
            let block = free[capacity]!.removeLast()
            if free[capacity]!.isEmpty { free[capacity] = nil }
            bytesFree -= capacity
            return block
        }

        fileprivate mutating func push(_ block: Block) {
            free[block.capacity, default: []].append(block)
            bytesFree += block.capacity
        }

        /// Whether one block more would make used and free memory together more than was ever in use at once, and a little. A repeated step
        /// keeps all its blocks; a change of sizes does not add to what the last sizes left.
        fileprivate var isFull: Bool { bytesInUse + bytesFree > peakBytes + State.slack }

        /// Blocks to give back before a new one is asked for.
        fileprivate mutating func surplus() -> [Block] {
            var result: [Block] = []
            while isFull, let oldest = removeOldest() { result.append(oldest) }
            return result
        }

        private static let slack = 16 << 20
    }
    let state = Monitor(State())

    /// The capacity that serves `byteCount`: eight classes per power of two, so at most an eighth is wasted.
    public static func sizeClass(_ byteCount: Int) -> Int {
        if byteCount <= 512 { return max(64, (byteCount + 63) & ~63) }
        let step = 1 << (Int.bitWidth - byteCount.leadingZeroBitCount - 4)
        let rounded = (byteCount + step - 1) & ~(step - 1)
        return rounded < 64 << 10 ? (rounded + 63) & ~63 : (rounded + 4095) & ~4095
    }

    /// A block for a tensor, or for what a device needs between two launches.
    ///
    /// - Parameter capacity: a `sizeClass`.
    /// - Returns: nil when the source has nothing left, not even when all that is free has been given back.
    public func allocate(_ capacity: Int) -> UnsafeMutableRawPointer? {
        let (reused, surplus): (Block?, [Block]) = state.withLock { s in
            s.bytesInUse += capacity
            s.peakBytes = max(s.peakBytes, s.bytesInUse)
            if s.free[capacity] != nil { return (s.pop(capacity), []) }
            let block = s.isFull ? s.reshapable(capacity, from: source.reshapedFrom) : nil
            return (block, s.surplus())
        }
        surplus.forEach(giveBack)
        guard let reused else { return obtain(capacity) }
        return reused.capacity == capacity ? reused.pointer : reshape(reused, capacity)
    }

    /// Takes a block back; work that was queued before may still use it.
    public func release(_ pointer: UnsafeMutableRawPointer, _ capacity: Int) {
        source.isFreed(pointer)
        var block = Block(pointer: pointer, capacity: capacity)
        let isKept = state.withLock { s in
            s.bytesInUse -= capacity
            guard s.bytesFree + capacity <= s.freeLimit else { return false }
            s.releases += 1
            block.stamp = s.releases
            s.push(block)
            return true
        }
        if !isKept { giveBack(block) }
    }

    /// Gives every free block back to the system.
    public func trim() {
        let freed = state.withLock { s in
            defer { (s.free, s.bytesFree) = ([:], 0) }
            return s.free
        }
        for blocks in freed.values { blocks.forEach(giveBack) }
        source.isTrimmed()
    }

    private func obtain(_ capacity: Int) -> UnsafeMutableRawPointer? {
        if let block = source.obtain(capacity) { return block }
        trim()
        if let block = source.obtain(capacity) { return block }
        let inUse = state.withLock { s in
            s.bytesInUse -= capacity
            return s.bytesInUse
        }
        source.isExhausted(by: capacity, inUse: inUse)
        return nil
    }

    /// A block with its pages, longer or shorter.
    private func reshape(_ block: Block, _ capacity: Int) -> UnsafeMutableRawPointer? {
        if let moved = source.reshape(block.pointer, block.capacity, to: capacity) { return moved }
        giveBack(block)
        return obtain(capacity)
    }

    private func giveBack(_ block: Block) { source.giveBack(block.pointer, block.capacity) }
}

extension MemoryPool {
    /// Bytes held by living tensors.
    public var bytesInUse: Int { state.withLock { $0.bytesInUse } }

    /// The largest `bytesInUse` so far, or since `resetPeak()`.
    public var peakBytes: Int { state.withLock { $0.peakBytes } }

    public func resetPeak() { state.withLock { $0.peakBytes = $0.bytesInUse } }

    /// Bytes of freed blocks kept for the next tensors.
    public var bytesFree: Int { state.withLock { $0.bytesFree } }

    /// The most that `bytesFree` may become; blocks freed beyond it go back at once. 4 GiB at start.
    public func setLimit(_ bytes: Int) { state.withLock { $0.freeLimit = bytes } }
}
