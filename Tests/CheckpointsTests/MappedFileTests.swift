import Checkpoints
import Foundation
import Glibc
import Synchronization
import TensorCore
import Testing

@Suite struct MappedFileTests {
    /// A file of one float32 matrix of ones `[rows, 1024]`, four KiB a row.
    static func write(_ path: String, rows: Int = 512, value: Float = 1) throws {
        try SafetensorsWriter.write([("a", Tensor.ones([rows, 1024]) * value)], to: path)
    }

    @Test("a file that is cut while its numbers are used reads as zeros, and is named; the process goes on") func cut() async {
        await #expect(processExitsWith: .success) {
            try withFolder { folder in
                let path = folder + "/a.safetensors"
                try Self.write(path)
                let file = try SafetensorsFile(path: path), weight = try file.tensor("a", shape: [512, 1024])
                precondition(truncate(path, 1 << 20) == 0)
                // Products read on all threads of the pool.
                let sums = Tensor.ones([64, 1024]).linear(weight).array
                precondition(sums[0] == 1024 && sums[511] == 0, "\(sums[0]), \(sums[511])")
                let error = #expect(throws: CheckpointError.self) { try file.requireUnchanged() }
                precondition(error.map { "\($0)".contains(path) && "\($0)".contains("1048576") } == true, "\(String(describing: error))")
                // Grown again to what it was, it is still not what was read.
                try Self.write(folder + "/b.safetensors")
                precondition(rename(folder + "/b.safetensors", path) == 0)
                precondition((try? file.requireUnchanged()) == nil)
            }
        }
    }

    @Test("only the file that was cut counts as damaged while others are opened, read and closed on several threads") func threads() async {
        await #expect(processExitsWith: .success) {
            try withFolder { folder in
                DispatchQueue.concurrentPerform(iterations: 8) { thread in
                    for round in 0..<60 {
                        let path = "\(folder)/\(thread)", isCut = (round + thread) % 2 == 0
                        do {
                            try Self.write(path, rows: 64)
                            let file = try SafetensorsFile(path: path), numbers = try file.tensor("a")
                            if isCut { precondition(truncate(path, 4096) == 0) }
                            let sum = numbers.withUnsafeFloats { $0.reduce(0, +) }
                            precondition(isCut ? sum < 2048 : sum == 65536, "\(sum)")
                            precondition((try? file.requireUnchanged()) == nil ? isCut : !isCut)
                        } catch { preconditionFailure("\(error)") }
                    }
                }
            }
        }
    }

    @Test("faults elsewhere, and signals that somebody sends, end the process as before") func others() async {
        await #expect(processExitsWith: .signal(SIGBUS)) {
            try withFolder { folder in
                try Self.write(folder + "/a.safetensors")
                let file = try SafetensorsFile(path: folder + "/a.safetensors")
                let descriptor = open(file.location, O_RDWR), place = mmap(nil, 8192, PROT_READ, MAP_SHARED, descriptor, 0)!
                ftruncate(descriptor, 0)
                print(place.load(as: UInt8.self))
            }
        }
        await #expect(processExitsWith: .signal(SIGBUS)) {
            try withFolder { folder in
                try Self.write(folder + "/a.safetensors")
                _ = try SafetensorsFile(path: folder + "/a.safetensors")
                kill(getpid(), SIGBUS)
            }
        }
        await #expect(processExitsWith: .exitCode(7)) {
            signal(SIGBUS) { _ in _exit(7) }
            try withFolder { folder in
                try Self.write(folder + "/a.safetensors")
                _ = try SafetensorsFile(path: folder + "/a.safetensors")
                kill(getpid(), SIGBUS)
            }
        }
    }

    static let changes: [(name: String, words: String, change: @Sendable (String) throws -> Void)] = [
        ("cut", "bytes, and had", { truncate($0, 4096) }),
        ("grown", "bytes, and had", { try append([0], to: $0) }),
        ("written over", "written to", { path in
            let file = FileHandle(forUpdatingAtPath: path)!
            try file.seek(toOffset: 4000)
            try file.write(contentsOf: Data([1, 2, 3, 4]))
            try file.close()
        }),
        ("replaced", "another file", { path in
            try MappedFileTests.write(path + ".part")
            rename(path + ".part", path)
        }),
    ]

    @Test("a change of any kind is found before the next use, and stays found", arguments: changes.map(\.name)) func changed(name: String) throws {
        let (_, words, change) = Self.changes.first { $0.name == name }!
        try withFolder { folder in
            let path = folder + "/a.safetensors", former = folder + "/former"
            try Self.write(path)
            let file = try SafetensorsFile(path: path)
            try file.requireUnchanged()
            #expect(link(path, former) == 0)
            try change(path)
            let error = #expect(throws: CheckpointError.self) { try file.requireUnchanged() }
            guard case .changed(path, let how)? = error else { Issue.record("\(String(describing: error))"); return }
            #expect(how.contains(words))
            if name == "replaced" { #expect(rename(former, path) == 0) }
            #expect(throws: CheckpointError.changed(file: path, how: how)) { try file.requireUnchanged() }
        }
    }

    @Test("a file that was removed or renamed has not changed for who has it open") func removed() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            try Self.write(path)
            let file = try SafetensorsFile(path: path), numbers = try file.tensor("a")
            #expect(rename(path, folder + "/b") == 0)
            try file.requireUnchanged()
            #expect(unlink(folder + "/b") == 0)
            try file.requireUnchanged()
            #expect(numbers.array.allSatisfy { $0 == 1 })
        }
    }

    @Test("copies stay what they were, whatever becomes of the file") func copies() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            try Self.write(path)
            let numbers = try SafetensorsFile(path: path, copiesTensors: true).tensor("a")
            let other = try bytes(path).map { ~$0 }
            let file = FileHandle(forUpdatingAtPath: path)!
            try file.write(contentsOf: Data(other))
            #expect(numbers.array.allSatisfy { $0 == 1 })
            #expect(truncate(path, 0) == 0)
            numbers.releasePages()
            #expect(numbers.array.allSatisfy { $0 == 1 })
        }
    }

    @Test("a file that is cut while it is opened, copied or hashed is an error or was whole") func cutWhileRead() async {
        await #expect(processExitsWith: .success) {
            try withFolder { folder in
                let path = folder + "/a.safetensors"
                for round in 0..<30 {
                    try Self.write(path, rows: 4096, value: 1)
                    let isCut = DispatchSemaphore(value: 0)
                    Thread.detachNewThread {
                        usleep(UInt32(100 * round))
                        truncate(path, 8192)
                        isCut.signal()
                    }
                    if round % 2 == 0 {
                        _ = try? FileHash.sha256(path: path)
                    } else if let copied = try? SafetensorsFile(path: path, copiesTensors: true).tensor("a") {
                        precondition(copied.array.allSatisfy { $0 == 1 }, "zeros were taken for numbers in round \(round)")
                    }
                    isCut.wait()
                }
            }
        }
    }
}

private func append(_ bytes: [UInt8], to path: String) throws {
    let file = FileHandle(forUpdatingAtPath: path)!
    try file.seekToEnd()
    try file.write(contentsOf: Data(bytes))
    try file.close()
}
