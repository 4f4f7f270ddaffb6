import Foundation
import Glibc
import Synchronization
import TensorCore
import Testing

@Suite("SystemMemory") struct SystemMemoryTests {
    @Test("letting go of the program's pages leaves every byte that other threads map and fill meanwhile") func others() async {
        // In a process of its own: other tests would have their pages let go of hundreds of times.
        await #expect(processExitsWith: .success) {
            let mappings = try Mappings(), finished = DispatchSemaphore(value: 0)
            for seed in 0..<4 {
                Thread.detachNewThread {
                    mappings.churn(seed: UInt8(seed))
                    finished.signal()
                }
            }
            for _ in 0..<400 { SystemMemory.releaseProgramPages() }
            mappings.isOver.store(true, ordering: .relaxed)
            for _ in 0..<4 { finished.wait() }
            precondition(mappings.rounds.load(ordering: .relaxed) > 100, "the threads did next to nothing")
        }
    }

    @Test("libraries come and go while the program's pages are let go of") func libraries() async {
        await #expect(processExitsWith: .success) {
            let isOver = Flag(), finished = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                while !isOver.value.load(ordering: .relaxed) {
                    guard let library = dlopen("libexif.so.12", RTLD_NOW | RTLD_LOCAL) else { continue }
                    dlclose(library)
                }
                finished.signal()
            }
            for _ in 0..<200 { SystemMemory.releaseProgramPages() }
            isOver.value.store(true, ordering: .relaxed)
            finished.wait()
        }
    }
}

private final class Flag: Sendable { let value = Atomic(false) }

/// Memory that threads map, fill, read again and unmap, of both kinds at the same places: a file's, and nobody's.
private final class Mappings: Sendable {
    let isOver = Atomic(false), rounds = Atomic(0)
    private let descriptor: Int32
    private static let bytes = 256 << 10, fileByte: UInt8 = 0xA5

    init() throws {
        let path = NSTemporaryDirectory() + "loralab-mappings-\(getpid())"
        try Data(repeating: Self.fileByte, count: Self.bytes).write(to: URL(fileURLWithPath: path))
        descriptor = open(path, O_RDONLY)
        unlink(path)
        precondition(descriptor >= 0)
    }

    func churn(seed: UInt8) {
        while !isOver.load(ordering: .relaxed) {
            let value = UInt8(truncatingIfNeeded: rounds.add(1, ordering: .relaxed).newValue) | 1
            let file = map(PROT_READ, MAP_PRIVATE, descriptor)
            check(file, Self.fileByte)
            munmap(file, Self.bytes)
            let own = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)      // where the file was, as a rule
            memset(own, Int32(value), Self.bytes)
            let changed = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor)
            memset(changed, Int32(value), Self.bytes)
            mprotect(changed, Self.bytes, PROT_READ)                                    // as relocated tables of libraries are
            usleep(UInt32(50 * (1 + Int(seed))))
            check(own, value)
            check(changed, value)
            munmap(own, Self.bytes)
            munmap(changed, Self.bytes)
        }
    }

    private func map(_ protection: Int32, _ flags: Int32, _ descriptor: Int32) -> UnsafeMutableRawPointer {
        guard let place = mmap(nil, Self.bytes, protection, flags, descriptor, 0), place != MAP_FAILED else { preconditionFailure("no memory") }
        return place
    }

    private func check(_ place: UnsafeMutableRawPointer, _ value: UInt8) {
        let found = UnsafeRawBufferPointer(start: place, count: Self.bytes)
        guard let wrong = found.firstIndex(where: { $0 != value }) else { return }
        preconditionFailure("byte \(wrong) is \(found[wrong]), \(value) was there")
    }
}
