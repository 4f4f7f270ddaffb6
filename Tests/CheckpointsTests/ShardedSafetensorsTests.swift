import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite struct ShardedSafetensorsTests {
    private func write(_ text: String, to path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }

    /// Two shards with `a` = 1 in the first and `b` = 2 in the second, and this index.
    private func withShards(_ index: String, _ body: (String) throws -> Void) throws {
        try withFolder { folder in
            try SafetensorsWriter.write([("a", .full(1, [2]))], to: folder + "/m-1.safetensors")
            try SafetensorsWriter.write([("b", .full(2, [3]))], to: folder + "/m-2.safetensors")
            try write(index, to: folder + "/model.safetensors.index.json")
            try body(folder)
        }
    }

    @Test func `tensors come from the shards that the index names`() throws {
        try withShards("{\"metadata\": {\"total_size\": 20}, \"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": \"m-2.safetensors\"}}") { folder in
            let source = try WeightFolder.open(folder)
            #expect(source.keys == ["a", "b"])
            #expect(try source.tensor("b", shape: [3]).array == [2, 2, 2])
            #expect(!source.contains("c"))
            #expect(throws: CheckpointError.missingKey("c", file: source.location)) { try source.tensor("c", shape: []) }
        }
    }

    @Test(arguments: [
        ("{\"weight_map\": {\"a\": \"../m-1.safetensors\"}}", "beside the index"), ("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "beside the index"),
        ("{\"weight_map\": {\"a\": \"m-3.safetensors\"}}", "No such file"), ("{\"weight_map\": {\"b\": \"m-1.safetensors\"}}", "has no tensor"),
        ("{\"metadata\": {}}", "no \"weight_map\""), ("{\"weight_map\": {\"a\": 1}}", "expected '\"'"), ("{\"weight_map\": {\"a\": \"m-1.safetensors\", \"a\": \"m-1.safetensors\"}}", "twice"),
        ("", "expected '{'"), ("{\"weight_map\": {}} tail", "expected the end"),
    ]) func `an index that cannot be right is refused`(index: String, part: String) throws {
        try withShards(index) { folder in
            do throws(CheckpointError) {
                _ = try ShardedSafetensors(index: folder + "/model.safetensors.index.json")
                #expect(Bool(false), "it was accepted")
            } catch { #expect(error.description.contains(part), "\(error)") }
        }
    }

    @Test func `a folder is searched for the usual names`() throws {
        try withFolder { folder in
            #expect(throws: CheckpointError.self) { try WeightFolder.open(folder) }
            try write("pickle", to: folder + "/pytorch_model.bin")
            do throws(CheckpointError) { _ = try WeightFolder.open(folder) } catch { #expect(error.description.contains("PyTorch")) }
            try SafetensorsWriter.write([("a", .zeros([1]))], to: folder + "/model.fp16.safetensors")
            #expect(try WeightFolder.open(folder).location == folder + "/model.fp16.safetensors")
            try FileManager.default.removeItem(atPath: folder + "/model.fp16.safetensors")
            try SafetensorsWriter.write([("a", .zeros([1]))], to: folder + "/part.safetensors")
            try write(#"{"weight_map": {"a": "part.safetensors"}}"#, to: folder + "/model.safetensors.index.fp16.json")
            #expect(try WeightFolder.open(folder).keys == ["a"])
        }
    }
}
