import Glibc

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

/// The system's words for an `errno`.
func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
