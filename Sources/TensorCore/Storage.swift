import CCompute
import Glibc
import Synchronization

/// A block of raw memory, aligned to 64 bytes, that goes back to the pool when its last tensor goes; or memory of somebody else,
/// a mapped file's, aligned to its elements.
///
/// The pointer is written only by the op that makes the block, before anybody else sees it, or by `Parameter.update` when
/// it holds the only reference: that is why sharing it between threads is safe although the compiler cannot see it.
final class Storage: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
    /// Bytes of the block: the size class, not the bytes asked for.
    private let capacity: Int
    /// Keeps the memory that is not the pool's.
    private let owner: AnyObject?
    /// Lets go of pages that come back by themselves.
    func releasePages() { (owner as? any PagedMemory)?.releasePages() }
    /// Memory of somebody else is only read.
    var isWritable: Bool { owner == nil }

    /// Memory for `byteCount` bytes, its content undefined.
    init(byteCount: Int) {
        capacity = MemoryPool.sizeClass(byteCount)
        pointer = MemoryPool.shared.allocate(capacity)
        owner = nil
    }

    /// Memory that `owner` keeps as long as it lives.
    init(borrowing memory: UnsafeRawPointer, from owner: AnyObject) {
        pointer = UnsafeMutableRawPointer(mutating: memory)
        capacity = 0
        self.owner = owner
    }

    deinit { if owner == nil { MemoryPool.shared.release(pointer, capacity) } }
}

/// Memory whose content comes back by itself when it is touched: a mapped file's.
public protocol PagedMemory: AnyObject {
    /// Makes it no longer count as the process's memory until then.
    func releasePages()
}

/// Freed blocks by size class, for the next tensor of that size: a training step asks for the same sizes again and again,
/// and fresh pages from the system cost more than most of the loops that fill them.
final class MemoryPool: Sendable {
    static let shared = MemoryPool()

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
        fileprivate mutating func reshapable(_ capacity: Int) -> Block? {
            guard capacity >= MemoryPool.mappedFrom else { return nil }
            let sizes = free.keys.filter { $0 >= MemoryPool.mappedFrom }
            if let larger = sizes.filter({ $0 > capacity }).min() {
                var block = pop(larger)
                let rest = larger - capacity
                if rest >= MemoryPool.mappedFrom {
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
    let state = Mutex(State())

    /// Blocks from this size on are mapped on their own, so that giving one back really lowers the process's memory.
    fileprivate static let mappedFrom = 64 << 10

    /// The capacity that serves `byteCount`: eight classes per power of two, so at most an eighth is wasted.
    static func sizeClass(_ byteCount: Int) -> Int {
        if byteCount <= 512 { return max(64, (byteCount + 63) & ~63) }
        let step = 1 << (Int.bitWidth - byteCount.leadingZeroBitCount - 4)
        let rounded = (byteCount + step - 1) & ~(step - 1)
        return rounded < mappedFrom ? (rounded + 63) & ~63 : (rounded + 4095) & ~4095
    }

    func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
        let (reused, surplus): (Block?, [Block]) = state.withLock { s in
            s.bytesInUse += capacity
            s.peakBytes = max(s.peakBytes, s.bytesInUse)
            if s.free[capacity] != nil { return (s.pop(capacity), []) }
            let block = s.isFull ? s.reshapable(capacity) : nil
            return (block, s.surplus())
        }
        surplus.forEach(Self.giveBack)
        guard let reused else { return Self.obtain(capacity) }
        return reused.capacity == capacity ? reused.pointer : Self.reshape(reused, capacity)
    }

    func release(_ pointer: UnsafeMutableRawPointer, _ capacity: Int) {
        var block = Block(pointer: pointer, capacity: capacity)
        let isKept = state.withLock { s in
            s.bytesInUse -= capacity
            guard s.bytesFree + capacity <= s.freeLimit else { return false }
            s.releases += 1
            block.stamp = s.releases
            s.push(block)
            return true
        }
        if !isKept { Self.giveBack(block) }
    }

    /// Gives every free block back to the system.
    func trim() {
        let freed = state.withLock { s in
            defer { (s.free, s.bytesFree) = ([:], 0) }
            return s.free
        }
        for blocks in freed.values { blocks.forEach(Self.giveBack) }
    }

    private static func obtain(_ capacity: Int) -> UnsafeMutableRawPointer {
        if capacity >= mappedFrom {
            guard let block = cc_map(capacity) else {
                fatalError("tensor memory: the system has no \(capacity >> 20) MiB left (\(Engine.bytesInUse >> 20) MiB are in use)")
            }
            return block
        }
        guard let block = aligned_alloc(64, capacity) else {
            fatalError("tensor memory: the system has no \(capacity) bytes left (\(Engine.bytesInUse >> 20) MiB are in use)")
        }
        return block
    }

    /// A mapped block with its pages, longer or shorter.
    private static func reshape(_ block: Block, _ capacity: Int) -> UnsafeMutableRawPointer {
        guard let moved = cc_remap(block.pointer, block.capacity, capacity) else {
            giveBack(block)
            return obtain(capacity)
        }
        return moved
    }

    private static func giveBack(_ block: Block) {
        if block.capacity >= mappedFrom { munmap(block.pointer, block.capacity) } else { free(block.pointer) }
    }
}
