import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite struct KeyTableTests {
    let table = KeyTable([
        .init("in.0", "conv_in"), .init("in.0.1", "special"), .init("attn.in_proj_weight", "q.weight", .third(0)),
        .init("attn.in_proj_weight", "k.weight", .third(1)), .init("attn.in_proj_weight", "v.weight", .third(2)),
        .init("projection", "projection.weight", .transposed), .init("mid.q", "to_q", .matrix),
    ])

    @Test("the longest rule counts, in both directions, and what fits none has no name")
    func lookup() {
        #expect(table.names(of: "in.0.weight").map(\.name) == ["conv_in.weight"])
        #expect(table.names(of: "in.0.1.weight").map(\.name) == ["special.weight"])
        #expect(table.names(of: "in.01.weight").isEmpty && table.names(of: "in").isEmpty)
        #expect(table.names(of: "attn.in_proj_weight").map(\.name) == ["q.weight", "k.weight", "v.weight"])
        for name in ["conv_in.bias", "special.weight", "q.weight", "v.weight", "projection.weight", "to_q.bias"] {
            let original = table.original(of: name)
            #expect(original.map { table.names(of: $0.key).contains { $0.name == name } } == true, "\(name)")
        }
    }

    @Test("tensors are split, turned and flattened as their rules say; others are listed")
    func renamed() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            func ramp(_ shape: [Int]) -> Tensor { Tensor((0..<shape.reduce(1, *)).map(Float.init), shape: shape) }
            try SafetensorsWriter.write([
                ("model.in.0.weight", ramp([2, 3])), ("model.attn.in_proj_weight", ramp([6, 2])), ("model.projection", ramp([2, 3])),
                ("model.mid.q.weight", ramp([2, 2, 1, 1])), ("model.mid.q.bias", ramp([2])), ("model.other", ramp([1])), ("else", ramp([1])),
            ], to: path)
            let weights = RenamedWeights(try SafetensorsFile(path: path), under: "model.", table: table)
            #expect(weights.keys == ["conv_in.weight", "k.weight", "projection.weight", "q.weight", "to_q.bias", "to_q.weight", "v.weight"])
            #expect(weights.unknown == ["model.other"])
            #expect(try weights.tensor("k.weight", shape: [2, 2]).array == [4, 5, 6, 7])
            #expect(try weights.tensor("projection.weight", shape: [3, 2]).array == [0, 3, 1, 4, 2, 5])
            #expect(try weights.tensor("to_q.weight", shape: [2, 2]).array == [0, 1, 2, 3])
            #expect(throws: CheckpointError.shapeMismatch(key: "model.attn.in_proj_weight", expected: [3, 2], found: [2, 2], file: path)) {
                try weights.tensor("v.weight", shape: [3, 2])
            }
        }
    }
}
