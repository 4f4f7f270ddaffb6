/// A block of a device's memory, aligned to 64 bytes, that goes back to the device's pool when its last tensor goes; or memory of somebody
/// else, a mapped file's, aligned to its elements.
///
/// The block is written only by the op that makes it, before anybody else sees it, or by an op in place that holds the only
/// reference: that is why sharing it between threads is safe although the compiler cannot see it.
final class Storage: @unchecked Sendable {
    let device: any Device
    /// An address of `device`.
    let pointer: UnsafeMutableRawPointer
    /// Bytes of the block: the size class, not the bytes asked for. 0 for memory that is not the pool's.
    private let capacity: Int
    /// Keeps the memory that is not the pool's.
    private let owner: AnyObject?

    /// Memory for `byteCount` bytes, its content undefined. A device without room has failed and follows no address any more.
    init(byteCount: Int, on device: any Device) {
        let size = MemoryPool.sizeClass(byteCount), block = device.pool.allocate(size)
        self.device = device
        pointer = block ?? Storage.nowhere
        capacity = block == nil ? 0 : size
        owner = nil
    }

    /// Memory of the host that `owner` keeps as long as it lives.
    init(borrowing memory: UnsafeRawPointer, from owner: AnyObject) {
        device = HostDevice.shared
        pointer = UnsafeMutableRawPointer(mutating: memory)
        capacity = 0
        self.owner = owner
    }

    deinit { if capacity > 0 { device.pool.release(pointer, capacity) } }

    /// Lets go of pages that come back by themselves.
    func releasePages() { (owner as? any PagedMemory)?.releasePages() }

    /// Memory of somebody else is only read.
    var isWritable: Bool { owner == nil }
    /// Whether the device had room.
    var isThere: Bool { owner != nil || capacity > 0 }

    private static var nowhere: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: 64)! }
}

/// Memory whose content comes back by itself when it is touched: a mapped file's.
public protocol PagedMemory: AnyObject {
    /// Makes it no longer count as the process's memory until then.
    func releasePages()
}
