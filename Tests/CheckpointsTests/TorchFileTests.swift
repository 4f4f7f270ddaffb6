import Checkpoints
import Foundation
import TensorCore
import TestSupport
import Testing

@Suite struct TorchFileTests {
    /// The error that opening and reading a file of these bytes gives; nil when all of it can be read.
    static func readingError(_ content: [UInt8]) throws -> CheckpointError? {
        try withFolder { folder in
            let path = folder + "/model.ckpt"
            try Data(content).write(to: URL(fileURLWithPath: path))
            do throws(CheckpointError) {
                let file = try WeightFiles.open(path)
                for (key, entry) in file.entries where entry.dtype.tensorType != nil { _ = try file.tensor(key).array }
                return nil
            } catch { return error }
        }
    }

    /// An archive around a pickle, without storages.
    static func archive(_ pickle: [UInt8]) -> [UInt8] { StoredZip([("model/data.pkl", pickle)]).bytes }

    @Test("values arrive exactly, whatever their strides, offsets and storages", arguments: ["flat.pt", "nested.ckpt"])
    func values(name: String) throws {
        let expected = try JSONDecoder().decode([String: Expected.Entry].self, from: Data(contentsOf: URL(fileURLWithPath: fixture("torch.json"))))
        let file = try WeightFiles.open(fixture(name))
        for (key, entry) in expected where key != "steps" {
            #expect(try file.tensor(key, shape: entry.shape).array == entry.values.map(Float.init), "\(key)")
        }
        #expect(throws: CheckpointError.notFloatingPoint(key: "steps", found: "I64", file: file.location)) { try file.tensor("steps") }
        #expect(file.entries["brain"] == StoredEntry(dtype: .bf16, shape: [3]))
        #expect(try file.tensor("turned", rows: 1..<3).array == Array(expected["turned"]!.values.map(Float.init)[4..<12]))
    }

    @Test("the state_dict is followed; whole numbers beside it are kept")
    func nested() throws {
        let file = try TorchFile(path: fixture("nested.ckpt"))
        #expect(file.numbers["global_step"] == 875_000)
        #expect(file.entries["big"] == StoredEntry(dtype: .f16, shape: [96, 256]))
        let big = try file.tensor("big"), tail = try file.tensor("big tail")
        #expect(tail.array == Array(big.array[(64 * 256)...]))
    }

    @Test("what a trainer leaves beside the weights is passed over")
    func trainerState() throws {
        let file = try TorchFile(path: fixture("trainer.ckpt"))
        #expect(file.keys == ["single"] && file.numbers["global_step"] == 7)
        #expect(try file.tensor("single").count == 2)
    }

    @Test("a pickle that names a command is refused by that name, and nothing is run")
    func hostile() throws {
        let error = #expect(throws: CheckpointError.self) { try TorchFile(path: fixture("hostile.ckpt")) }
        guard case .forbiddenPickle(let name, _)? = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(name.hasSuffix(".system"))
    }

    @Test("the form before PyTorch 1.6 is named, with what to do")
    func legacy() throws {
        let error = #expect(throws: CheckpointError.self) { try WeightFiles.open(fixture("legacy.ckpt")) }
        #expect(error?.description.contains("before version 1.6") == true && error?.wayOut.contains("torch.save") == true)
    }

    @Test("a checkpoint cut at any place is refused")
    func truncated() throws {
        let whole = try bytes(fixture("flat.pt"))
        #expect(try Self.readingError(whole) == nil)
        for count in stride(from: 4, to: whole.count, by: 7) { #expect(try Self.readingError(Array(whole[..<count])) != nil, "\(count) bytes") }
    }

    /// Opcodes: PROTO 2, then what is named; `.` ends.
    static let broken: [(String, [UInt8], String)] = [
        ("a million nested lists", [0x80, 2] + [UInt8](repeating: 0x5D, count: 1_000_000) + [0x2E], "more memory"),
        ("lists put into each other", [0x80, 2, 0x5D] + [UInt8](repeating: 0x32, count: 999) + [UInt8](repeating: 0x61, count: 999) + [0x2E], "no dictionary"),
        ("groups without end", [0x80, 2] + [UInt8](repeating: 0x28, count: 100_000) + [0x2E], "more memory"),
        ("a text longer than the file", [0x80, 2, 0x58, 0xFF, 0xFF, 0xFF, 0x7F, 0x2E], "middle of a value"),
        ("a text of 2⁶⁴ bytes", [0x80, 4, 0x8D] + [UInt8](repeating: 0xFF, count: 8) + [0x2E], "63 bits"),
        ("nothing", [], "middle of a value"), ("an end without a value", [0x80, 2, 0x2E], "takes more from the stack"),
        ("a call of a number", [0x80, 2, 0x4B, 1, 0x29, 0x52, 0x2E], "no function"), ("a recall of nothing", [0x80, 2, 0x68, 9, 0x2E], "recalls"),
        ("an extension", [0x80, 2, 0x82, 1, 0x2E], "opcode 130"),
        ("eval", [0x80, 2] + Array("c__builtin__\neval\n".utf8) + [0x2E], "__builtin__.eval"),
    ]
    @Test("a pickle that cannot be a checkpoint's is refused", arguments: broken)
    func refused(_ item: (name: String, pickle: [UInt8], part: String)) throws {
        let error = try Self.readingError(Self.archive(item.pickle))
        #expect(error?.description.contains(item.part) == true, "\(item.name): \(error?.description ?? "accepted")")
    }

    @Test("values recalled again and again do not take more memory than the file's size allows")
    func budget() throws {
        var pickle: [UInt8] = [0x80, 2, 0x58, 200, 0, 0, 0] + [UInt8](repeating: 65, count: 200) + [0x71, 1, 0x5D]
        for _ in 0..<100_000 { pickle += [0x28, 0x68, 1, 0x68, 1, 0x65] }
        #expect(try Self.readingError(Self.archive(pickle + [0x2E])) != nil)
    }

    /// Bytes changed, inserted, removed and exchanged at random: a mistake in the reader would end the process.
    @Test("three hundred damaged checkpoints give an error or sound tensors", arguments: ["flat.pt", "legacy.ckpt", "hostile.ckpt", "trainer.ckpt"])
    func fuzzed(name: String) throws {
        let whole = try bytes(fixture(name)), pickle = 64..<1100
        var generator = TorchGenerator(seed: 7), refused = 0
        func pick(_ count: Int) -> Int { generator.integer(below: count) }
        for round in 0..<300 {
            var content = whole
            for _ in 0...pick(4) {
                let at = round % 2 == 0 ? pick(content.count) : min(pickle.lowerBound + pick(pickle.count), content.count - 1)
                switch pick(round % 2 == 0 ? 4 : 2) {
                case 0: content[at] = UInt8(pick(256))
                case 1: content.swapAt(at, pick(content.count))
                case 2: content.insert(contentsOf: [0xFF, 0xFF, 0xFF, 0xFF].prefix(1 + pick(4)), at: at)
                default: content.removeSubrange(at..<min(content.count, at + 1 + pick(9)))
                }
            }
            if let error = try Self.readingError(content) {
                refused += 1
                #expect(!error.description.isEmpty && !error.wayOut.isEmpty)
            }
        }
        // A change of a number's bytes is harmless, and half of the file is such bytes or padding.
        #expect(refused > 100)
    }
}

@Suite struct MappedTensorTests {
    @Test("a tensor of some size stays in the file: two readings are the same memory, and a change copies it first")
    func views() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            let values = (0..<40_000).map(Float.init)
            try SafetensorsWriter.write([("a", Tensor(values, shape: [200, 200]))], to: path)
            let file = try SafetensorsFile(path: path)
            let first = try file.tensor("a"), second = try file.tensor("a", rows: 50..<200)
            let offset = first.withUnsafeBytes { a in second.withUnsafeBytes { b in b.baseAddress! - a.baseAddress! } }
            #expect(offset == 50 * 200 * 4)
            let parameter = Parameter("a", first)
            parameter.update { value in
                var (mean, square) = (Tensor.zeros(value.shape), Tensor.zeros(value.shape))
                let step = AdamWStep(learningRate: 1, beta1: 0, beta2: 0, epsilon: 0, weightDecay: 0, step: 1)
                value.adamW(step, gradient: .ones(value.shape), mean: &mean, square: &square)
            }
            #expect(parameter.value.array[0] == -1 && first.array == values)
            #expect(unlink(path) == 0)
            #expect(second.array == Array(values[10_000...]))
        }
    }

    @Test("released pages leave the process's memory and come back with the same numbers")
    func released() async {
        await #expect(processExitsWith: .success) {
            try withFolder { folder in
                let path = folder + "/a.safetensors"
                try SafetensorsWriter.write([("a", Tensor((0..<(8 << 20)).map(Float.init), shape: [8 << 20]))], to: path)
                let tensor = try SafetensorsFile(path: path).tensor("a")
                func sum() -> Double { tensor.withUnsafeFloats { $0.reduce(0) { $0 + Double($1) } } }
                let before = sum(), held = SystemMemory.resident
                tensor.releasePages()
                precondition(held - SystemMemory.resident > 30 << 20, "the pages of 32 MiB stayed: \(held) bytes before, \(SystemMemory.resident) after")
                precondition(sum() == before)
            }
        }
    }
}
