import Glibc

/// Writes a file whole or not at all: a temporary file beside it, flushed to the disk, then renamed over it.
package enum AtomicFile {
    /// - Parameter body: gets a function that appends bytes; when it throws, the old file stays as it was.
    /// - Throws: `cannotWrite` with the system's reason and what to do about it.
    package static func write(
        to path: String, _ body: ((UnsafeRawBufferPointer) throws(CheckpointError) -> Void) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        let target = destination(path)
        var status = stat()
        if stat(target, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { throw failure(path, EISDIR) }
        let temporary = "\(target).\(getpid())-\(UInt32.random(in: 0 ... .max)).part"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure(path, errno) }
        var isOpen = true
        do throws(CheckpointError) {
            try body { (bytes) throws(CheckpointError) in try append(bytes, to: descriptor, path: path) }
            guard fsync(descriptor) == 0 else { throw failure(path, errno) }
            isOpen = false
            guard close(descriptor) == 0 else { throw failure(path, errno) }
            guard rename(temporary, target) == 0 else { throw failure(path, errno) }
        } catch {
            if isOpen { close(descriptor) }
            unlink(temporary)
            throw error
        }
        flushFolder(of: target)
    }

    /// Where a symbolic link leads: renaming onto the link itself would replace it.
    private static func destination(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func append(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String) throws(CheckpointError) {
        var rest = bytes
        while !rest.isEmpty {
            let written = Glibc.write(descriptor, rest.baseAddress, min(rest.count, 1 << 30))
            if written < 0 {
                if errno == EINTR { continue }
                throw failure(path, errno)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    /// Makes the rename itself survive a power cut; a file system that cannot do it is no reason to fail.
    private static func flushFolder(of path: String) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    package static func failure(_ path: String, _ code: Int32) -> CheckpointError {
        let wayOut = switch code {
        case ENOSPC, EDQUOT: "Free some space on that disk, or save to another one; nothing was changed."
        case EROFS: "That file system is read-only: save to another folder; nothing was changed."
        case EACCES, EPERM: "You have no right to write there: save to another folder or change its permissions; nothing was changed."
        case ENOENT, ENOTDIR: "The folder does not exist: create it, or correct the path."
        case EISDIR: "Give a file name inside of that folder, ending in .safetensors."
        case ENAMETOOLONG: "Choose a shorter name."
        default: "Check the path and the disk; nothing was changed."
        }
        return .cannotWrite(file: path, reason: reason(code), wayOut: wayOut)
    }
}
