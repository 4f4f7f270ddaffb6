import Glibc
import TensorCore

/// A file's bytes, mapped into memory: pages come from the disk when they are touched.
final class MappedFile: Sendable {
    let path: String
    let count: Int
    // Immutable after `init` and mapped read-only, so every thread may read it.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer?
    private let descriptor: Int32

    init(path: String) throws(CheckpointError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(file: path, reason: reason(errno)) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .unreadable(file: path, reason: status.st_mode & S_IFMT == S_IFDIR ? "it is a folder" : "it is not a plain file")
        }
        let count = Int(status.st_size)
        var base: UnsafeMutableRawPointer?
        if count > 0 {
            base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
            guard base != MAP_FAILED else {
                let cause = reason(errno)
                close(descriptor)
                throw .unreadable(file: path, reason: cause)
            }
        }
        (self.path, self.count, self.base, self.descriptor) = (path, count, base, descriptor)
    }

    deinit {
        if let base { munmap(base, count) }
        close(descriptor)
    }

    /// Lets go of the whole pages inside of a range; pages shared with its neighbours stay.
    fileprivate func releasePages(in range: Range<Int>) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (range.lowerBound + page - 1) / page * page, end = range.upperBound / page * page
        if let base, start < end { madvise(base + start, end - start, MADV_DONTNEED) }
    }

    /// Calls `body` with the whole file.
    /// - Throws: `truncated` when the file has become shorter since it was opened: touching the lost pages would end the process.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> R) throws(CheckpointError) -> R {
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) >= count else {
            throw .truncated(file: path, expected: UInt64(count), found: UInt64(max(0, status.st_size)))
        }
        return try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}

extension MappedFile {
    /// From this size on a tensor stays where it is; below, a copy costs less than the care.
    private static let viewedFrom = 64 << 10

    /// The numbers that stand at `range`, as a tensor: where they lie if they can be used so, otherwise a copy.
    ///
    /// - Parameter key: the tensor's name, for messages.
    func tensor(_ key: String, at range: Range<Int>, type: StoredType, shape: [Int]) throws(CheckpointError) -> Tensor {
        try withBytes { (all) throws(CheckpointError) in
            let bytes = UnsafeRawBufferPointer(rebasing: all[range]), pages = MappedPages(file: self, range: range)
            return try withExtendedLifetime(pages) { () throws(CheckpointError) in
                switch type {
                case .f32, .f16, .bf16:
                    let dtype = type.tensorType!
                    let isAligned = UInt(bitPattern: bytes.baseAddress) % UInt(dtype.byteSize) == 0
                    return isAligned && bytes.count >= Self.viewedFrom
                        ? Tensor(shape: shape, dtype: dtype, borrowing: bytes, from: pages) : Tensor(shape: shape, dtype: dtype, bytes: bytes)
                default: return try type.widened(bytes, key: key, shape: shape, file: path)
                }
            }
        }
    }
}

/// Part of a mapped file while somebody reads it; afterwards its pages no longer count as the process's memory. They come back from
/// the file when they are touched again.
private final class MappedPages: PagedMemory, Sendable {
    private let file: MappedFile
    private let range: Range<Int>

    init(file: MappedFile, range: Range<Int>) {
        self.file = file
        self.range = range
    }

    func releasePages() { file.releasePages(in: range) }

    deinit { releasePages() }
}

/// The system's words for an `errno`.
func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
