import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite struct SafetensorsWriterTests {
    @Test(arguments: ["f32", "f16", "bf16", "mixed"]) func `a reference file read and written again has the same bytes`(name: String) throws {
        let file = try SafetensorsFile(path: fixture("\(name).safetensors"))
        var tensors: [(name: String, tensor: Tensor)] = [], stored: [StoredTensor] = []
        for (key, entry) in file.entries {
            if [.f32, .f16, .bf16].contains(entry.dtype) {
                tensors.append((key, try file.tensor(key, shape: entry.shape)))
            } else {
                stored.append(StoredTensor(name: key, dtype: entry.dtype, shape: entry.shape, bytes: try file.withBytes(key) { Array($0) }))
            }
        }
        #expect(try SafetensorsWriter.data(tensors, stored: stored, metadata: file.metadata) == bytes(fixture("\(name).safetensors")))
    }

    @Test(arguments: ["f16": DType.float16, "bf16": .bfloat16]) func `conversion on the way rounds as the reference does`(name: String, dtype: DType) throws {
        let file = try SafetensorsFile(path: fixture("f32.safetensors"))
        let tensors = try file.keys.map { ($0, try file.tensor($0)) }
        #expect(try SafetensorsWriter.data(tensors, metadata: file.metadata, dtype: dtype) == bytes(fixture("\(name).safetensors")))
    }

    @Test func `hashes are those of the reference tools`() throws {
        let expected = try Expected.load().hashes
        let values = (0..<400_000).map { Float($0 % 251) }
        let tensors = [("up", Tensor(values, shape: [400_000])), ("down", Tensor(Array(values[..<7]), shape: [7]))]
        let hashes = try SafetensorsWriter.hashes(tensors, metadata: ["ss_rank": "4", "modelspec.title": "not part of it"])
        #expect(hashes.model == expected.model)
        #expect(hashes.legacy == expected.legacy)
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            try SafetensorsWriter.write(tensors, metadata: ["ss_rank": "4"], to: path)
            #expect(try FileHash.sha256(path: path) == expected.whole)
            #expect(try FileHash.legacy(path: path) == expected.legacy)
            #expect(try FileHash.tensors(path: path) == expected.model)
        }
    }

    @Test func `the short hash of a short file is that of nothing`() throws {
        #expect(try SafetensorsWriter.hashes([("a", .zeros([3]))], metadata: [:]).legacy == "e3b0c442")
    }

    @Test func `integers and floats live in one file`() throws {
        try withFolder { folder in
            let path = folder + "/state.safetensors"
            try SafetensorsWriter.write([("m", Tensor([1, 2], shape: [2]))], stored: [StoredTensor(name: "step", integers: [7, -8])], to: path)
            let file = try SafetensorsFile(path: path)
            #expect(try file.integers("step") == [7, -8])
            #expect(try file.tensor("m", shape: [2]).array == [1, 2])
        }
    }

    @Test func `nothing at all can be written and read`() throws {
        try withFolder { folder in
            try SafetensorsWriter.write([], to: folder + "/a.safetensors")
            #expect(try SafetensorsFile(path: folder + "/a.safetensors").keys == [])
        }
    }

    @Test(arguments: ["", "__metadata__"]) func `names that cannot be are refused`(name: String) {
        #expect(throws: CheckpointError.self) { try SafetensorsWriter.data([(name, .zeros([1]))]) }
    }

    @Test func `a name given twice is refused and the file stays`() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            try SafetensorsWriter.write([("a", .zeros([1]))], to: path)
            let before = try bytes(path)
            #expect(throws: CheckpointError.invalidName("b", reason: "two tensors have this name", file: path)) {
                try SafetensorsWriter.write([("b", .zeros([1])), ("b", .ones([1]))], to: path)
            }
            #expect(try bytes(path) == before)
        }
    }

    @Test func `a failure half way leaves the old file and nothing else`() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            try Data("old".utf8).write(to: URL(fileURLWithPath: path))
            let full = AtomicFile.failure(path, ENOSPC)
            #expect(throws: full) {
                try AtomicFile.write(to: path) { (append) throws(CheckpointError) in
                    [UInt8](repeating: 1, count: 100_000).withUnsafeBytes { bytes in _ = try? append(bytes) }
                    throw full
                }
            }
            #expect(try bytes(path) == Array("old".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.safetensors"])
            #expect(full.description.contains("No space") && full.wayOut.contains("space"))
        }
    }

    @Test func `places that cannot be written to are told with a way out`() throws {
        try withFolder { folder in
            func wayOut(_ path: String) -> String {
                do { try SafetensorsWriter.write([("a", .zeros([1]))], to: path) } catch { return error.wayOut }
                return "it was written"
            }
            #expect(wayOut(folder + "/none/a.safetensors").contains("folder does not exist"))
            #expect(wayOut(folder).contains("file name"))
            #expect(wayOut(folder + "/" + String(repeating: "n", count: 300)).contains("shorter"))
            // Not even root may make files here.
            #expect(wayOut("/sys/a.safetensors").contains("another folder"))
        }
    }

    @Test func `a symbolic link keeps pointing at its file`() throws {
        try withFolder { folder in
            try SafetensorsWriter.write([("a", .zeros([1]))], to: folder + "/real")
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: folder + "/real")
            try SafetensorsWriter.write([("b", .zeros([1]))], to: folder + "/link")
            #expect(try SafetensorsFile(path: folder + "/real").keys == ["b"])
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/link") == folder + "/real")
        }
    }
}
