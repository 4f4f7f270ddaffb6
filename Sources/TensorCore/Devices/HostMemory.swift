import CCompute
import Glibc

/// The process's memory, as the pool of the processor asks for it.
struct HostMemory: MemorySource {
    /// Blocks from this size on are mapped on their own, so that giving one back really lowers the process's memory.
    var reshapedFrom: Int { 64 << 10 }

    func obtain(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        byteCount >= reshapedFrom ? cc_map(byteCount) : aligned_alloc(64, byteCount)
    }

    func giveBack(_ block: UnsafeMutableRawPointer, _ byteCount: Int) {
        if byteCount >= reshapedFrom { munmap(block, byteCount) } else { free(block) }
    }

    func reshape(_ block: UnsafeMutableRawPointer, _ byteCount: Int, to wanted: Int) -> UnsafeMutableRawPointer? {
        cc_remap(block, byteCount, wanted)
    }

    func isExhausted(by byteCount: Int, inUse: Int) {
        let size = byteCount >= 1 << 20 ? "\(byteCount >> 20) MiB" : "\(byteCount) bytes"
        fatalError("tensor memory: the system has no \(size) left (\(inUse >> 20) MiB are in use)")
    }
}
