import CMemory
import Glibc
import Synchronization
import TensorCore

/// A file's bytes, mapped into memory: pages come from the disk when they are touched.
///
/// Whoever writes to the file changes the numbers that are read from it, and whoever cuts it leaves zeros in their place: `requireUnchanged`
/// tells.
public final class MappedFile: Sendable {
    public let path: String
    let count: Int
    // Mapped read-only and closed only at the end, so every thread may read it. nil for an empty file.
    private nonisolated(unsafe) let mapping: OpaquePointer?
    private let descriptor: Int32
    private let opened: FileVersion
    /// What was first found to have changed. Once numbers may have been read wrongly, they stay so.
    private let change = Mutex<String?>(nil)

    init(path: String) throws(CheckpointError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(file: path, reason: reason(errno)) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .unreadable(file: path, reason: status.st_mode & S_IFMT == S_IFDIR ? "it is a folder" : "it is not a plain file")
        }
        let count = Int(status.st_size), mapping = count > 0 ? cm_mapping_open(descriptor, count) : nil
        guard count == 0 || mapping != nil else {
            let cause = reason(errno)
            close(descriptor)
            throw .unreadable(file: path, reason: cause)
        }
        (self.path, self.count, self.mapping, self.descriptor, opened) = (path, count, mapping, descriptor, FileVersion(status))
    }

    deinit {
        if let mapping { cm_mapping_close(mapping) }
        close(descriptor)
    }

    private var base: UnsafeRawPointer? { mapping.map { cm_mapping_bytes($0) } }

    /// Lets go of the whole pages inside of a range; pages shared with its neighbours stay.
    fileprivate func releasePages(in range: Range<Int>) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (range.lowerBound + page - 1) / page * page, end = range.upperBound / page * page
        if let base, start < end { madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED) }
    }

    /// Calls `body` with the whole file.
    /// - Throws: `truncated` when the file has become shorter since it was opened, also while `body` read it.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> R) throws(CheckpointError) -> R {
        try requireWhole()
        let result: Result<R, CheckpointError>
        do throws(CheckpointError) {
            result = .success(try body(UnsafeRawBufferPointer(start: base, count: count)))
        } catch {
            result = .failure(error)
        }
        try requireWhole()          // before what `body` made, or has to say, of zeros
        return try result.get()
    }

    private func requireWhole() throws(CheckpointError) {
        let found = FileVersion(descriptor)?.size ?? 0
        guard found >= count, !isDamaged else { throw .truncated(file: path, expected: UInt64(count), found: UInt64(max(0, found))) }
    }

    private var isDamaged: Bool { mapping.map { cm_mapping_is_damaged($0) } ?? false }

    /// Requires that the file is still the one that was opened, so that all numbers read from it are right. Two questions to the system, some
    /// microseconds. A file that was only removed or renamed is still there for those who have it open, and has not changed.
    /// - Throws: `changed`, from the first time on that a change was found.
    public func requireUnchanged() throws(CheckpointError) {
        let found = change.withLock { change in
            change = change ?? presentChange
            return change
        }
        if let found { throw .changed(file: path, how: found) }
    }

    private var presentChange: String? {
        let own = FileVersion(descriptor).flatMap { $0.difference(from: opened) }, named = FileVersion(path).flatMap { $0.difference(from: opened) }
        return own ?? named ?? (isDamaged ? "a part of it could not be read" : nil)
    }
}

/// What tells whether a file is still the same one with the same content.
private struct FileVersion: Sendable {
    /// Bytes.
    let size: Int
    private let device: dev_t, inode: ino_t, modified: timespec

    init(_ status: stat) {
        (size, device, inode, modified) = (Int(status.st_size), status.st_dev, status.st_ino, status.st_mtim)
    }

    init?(_ descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// What has changed, in words; nil when nothing has.
    func difference(from former: FileVersion) -> String? {
        if device != former.device || inode != former.inode { return "another file has taken its place" }
        if size != former.size { return "it has \(size) bytes, and had \(former.size)" }
        let isSame = modified.tv_sec == former.modified.tv_sec && modified.tv_nsec == former.modified.tv_nsec
        return isSame ? nil : "it has been written to"
    }
}

extension MappedFile {
    /// From this size on a tensor stays where it is; below, a copy costs less than the care.
    private static let viewedFrom = 64 << 10

    /// The numbers that stand at `range`, as a tensor: where they lie if they can be used so, otherwise a copy.
    ///
    /// - Parameters:
    ///   - key: the tensor's name, for messages.
    ///   - isCopied: always copies.
    func tensor(_ key: String, at range: Range<Int>, type: StoredType, shape: [Int], isCopied: Bool = false) throws(CheckpointError) -> Tensor {
        try withBytes { (all) throws(CheckpointError) in
            let bytes = UnsafeRawBufferPointer(rebasing: all[range]), pages = MappedPages(file: self, range: range)
            return try withExtendedLifetime(pages) { () throws(CheckpointError) in
                switch type {
                case .f32, .f16, .bf16:
                    let dtype = type.tensorType!
                    let isAligned = UInt(bitPattern: bytes.baseAddress) % UInt(dtype.byteSize) == 0
                    return isAligned && !isCopied && bytes.count >= Self.viewedFrom
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
