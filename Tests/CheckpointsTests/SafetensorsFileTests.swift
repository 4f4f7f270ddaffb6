import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite struct SafetensorsFileTests {
    @Test(arguments: ["f32", "f16", "bf16"]) func `values and metadata of a reference file arrive exactly`(name: String) throws {
        let all = try Expected.load()
        let expected = ["f32": all.f32, "f16": all.f16, "bf16": all.bf16][name]!
        let file = try SafetensorsFile(path: fixture("\(name).safetensors"))
        #expect(file.keys == expected.keys.sorted())
        #expect(file.metadata == ["ss_note": "rank 4, “quoted” \"text\"\n层"])
        for (key, entry) in expected {
            let tensor = try file.tensor(key, shape: entry.shape)
            #expect(tensor.dtype == ["f32": .float32, "f16": .float16, "bf16": .bfloat16][name]!)
            #expect(tensor.array == entry.values.map(Float.init), "\(key)")
        }
    }

    @Test func `every numeric type is read`() throws {
        let expected = try Expected.load()
        let file = try SafetensorsFile(path: fixture("mixed.safetensors"))
        for key in ["half", "single", "brain", "double"] {
            let entry = expected.mixed[key]!
            #expect(try file.tensor(key, shape: entry.shape).array == entry.values.map { Float($0) }, "\(key)")
        }
        for key in ["steps", "small", "flags", "bytes", "words"] {
            #expect(try file.integers(key) == expected.mixed[key]!.values.map { Int($0) }, "\(key)")
        }
    }

    @Test(arguments: ["e5m2", "e4m3"]) func `eight-bit floats become the float16 numbers that equal them`(name: String) throws {
        let expected = try Expected.load().bits[name]!
        let tensor = try SafetensorsFile(path: fixture("mixed.safetensors")).tensor(name, shape: [256])
        #expect(tensor.dtype == .float16)
        let found = tensor.withUnsafeBytes { Array($0.bindMemory(to: UInt16.self)) }
        for (byte, (found, expected)) in zip(found, expected).enumerated() {
            // Which of its many patterns a NaN has does not matter.
            let isNaN = { (bits: UInt16) in bits & 0x7FFF > 0x7C00 }
            #expect(found == expected || (isNaN(found) && isNaN(expected)), "byte \(byte)")
        }
    }

    @Test func `a key, shape or type that a model does not find is named`() throws {
        let file = try SafetensorsFile(path: fixture("mixed.safetensors")), path = file.location
        #expect(throws: CheckpointError.missingKey("up", file: path)) { try file.tensor("up", shape: [1]) }
        #expect(throws: CheckpointError.shapeMismatch(key: "single", expected: [4], found: [2, 2], file: path)) { try file.tensor("single", shape: [4]) }
        #expect(throws: CheckpointError.notFloatingPoint(key: "steps", found: "I64", file: path)) { try file.tensor("steps", shape: [2, 2]) }
        #expect(throws: CheckpointError.notInteger(key: "half", found: "F16", file: path)) { try file.integers("half") }
    }

    @Test(arguments: [
        ("PK\u{3}\u{4}..........", "zip archive"), ("GGUF\u{3}.........", "GGUF"), ("<!DOCTYPE html><html>", "HTML"), ("version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("{\"a\": 1} and more", "JSON"), ("", "empty"), ("SQLite format 3\0", "SQLite"),
    ]) func `a file that is something else is called by its name`(content: String, name: String) throws {
        guard case .notSafetensors(_, let found, let wayOut) = try openingError(Array(content.utf8)) else { return #expect(Bool(false), "\(name) was not recognised") }
        #expect(found.contains(name))
        #expect(!wayOut.isEmpty)
    }

    @Test func `pictures and pickles are called by their names`() throws {
        for (start, name) in [([0x89, 0x50, 0x4E, 0x47, 13, 10, 26, 10, 0, 0], "PNG"), ([0xFF, 0xD8, 0xFF, 0xE0, 0, 0, 0, 0, 0], "JPEG"), ([0x80, 0x02, 0x8A, 0x0A, 0, 0, 0, 0, 0], "pickle")] as [([UInt8], String)] {
            guard case .notSafetensors(_, let found, _) = try openingError(start) else { return #expect(Bool(false), "\(name) was not recognised") }
            #expect(found.contains(name))
        }
    }

    @Test func `what is no plain file says so`() throws {
        #expect(throws: CheckpointError.unreadable(file: "/nowhere/a", reason: "No such file or directory")) { try SafetensorsFile(path: "/nowhere/a") }
        #expect(throws: CheckpointError.unreadable(file: "/", reason: "it is a folder")) { try SafetensorsFile(path: "/") }
        #expect(throws: CheckpointError.unreadable(file: "/dev/null", reason: "it is not a plain file")) { try SafetensorsFile(path: "/dev/null") }
    }

    /// Header, bytes of data, and a part of the error's text.
    static let broken: [(String, Int, String)] = [
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "8 bytes for F32 [2]"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a hole"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "an overlap"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8, "4 bytes for F32 [1]"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "belong to no tensor"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[100],\"data_offsets\":[0,400]}}", 8, "cut short"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4611686018427387904],\"data_offsets\":[0,4]}}", 4, "can be counted"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4, "63 bits"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole number"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "fraction"),
        ("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "F33"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"),
        ("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "twice"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "twice"),
        ("{\"__metadata__\":{\"a\":1}}", 0, "must be text"),
        ("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "twice"),
        ("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"),
        ("{\"a\":3}", 0, "expected '{'"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", 0, "expected '}'"),
        ("{} x", 0, "expected the end"),
        ("{\"\\ud800\":{}}", 0, "surrogate"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 8"),
        ("{\"__metadata__\":{" + (0..<70_000).map { "\"\($0)\":\"\"" }.joined(separator: ",") + "}}", 0, "more than 65536"),
        ("{\"a\":{\"x\":" + String(repeating: "[", count: 500) + "}}", 0, "deep"),
    ]
    @Test(arguments: broken) func `a header that cannot be right is refused`(header: String, dataCount: Int, part: String) throws {
        let error = try openingError(file(header: header, dataCount: dataCount))
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "it was accepted")")
        #expect(error?.wayOut.isEmpty == false)
    }

    @Test func `text that is not UTF-8 is refused`() throws {
        var content = file(header: "{\"abc\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", dataCount: 0)
        content[11] = 0xFF
        #expect(try openingError(content)?.description.contains("UTF-8") == true)
    }

    @Test func `fields that nobody knows are passed over`() throws {
        let header = "{\"a\":{\"note\":[1,{\"x\":null}],\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}  "
        #expect(try openingError(file(header: header, dataCount: 4)) == nil)
    }

    @Test func `a file cut at any byte is refused`() throws {
        let whole = try bytes(fixture("f16.safetensors"))
        #expect(try openingError(whole) == nil)
        for count in 0..<whole.count { #expect(try openingError(Array(whole[..<count])) != nil, "\(count) of \(whole.count) bytes") }
    }

    @Test func `a length beyond the file or the limit takes no memory`() throws {
        let length = withUnsafeBytes(of: UInt64(99_000_000).littleEndian) { Array($0) }
        guard case .truncated(_, 99_000_008, 10) = try openingError(length + Array("{}".utf8)) else { return #expect(Bool(false)) }
        guard case .malformedHeader = try openingError([UInt8](repeating: 0xFF, count: 8) + Array("{}".utf8)) else { return #expect(Bool(false)) }
    }

    /// Bytes changed, inserted, removed and exchanged at random: a mistake in the reader would end the process.
    @Test func `three hundred damaged headers give an error or a sound file`() throws {
        let whole = try bytes(fixture("mixed.safetensors"))
        let headerCount = 8 + Int(whole[0]) + Int(whole[1]) << 8
        var generator = TorchGenerator(seed: 5), refused = 0
        func pick(_ count: Int) -> Int { generator.integer(below: count) }
        let words = ["99999999999999999999", "-1", "1e9", "\"", "{", "[", "}", "null", "\\u0000", "\\", ":", ",", "0", "\u{FFFF}"].map { Array($0.utf8) }
        for _ in 0..<300 {
            var content = whole
            for _ in 0...pick(4) {
                let at = pick(headerCount)
                switch pick(4) {
                case 0: content[at] = UInt8(pick(256))
                case 1: content.insert(contentsOf: words[pick(words.count)], at: at)
                case 2: content.removeSubrange(at..<min(content.count, at + 1 + pick(9)))
                default: content.swapAt(at, pick(headerCount))
                }
            }
            if try openingError(content) != nil { refused += 1 }
        }
        // Some changes are harmless, such as another digit in a tensor's name.
        #expect(refused > 270)
    }

    @Test func `a file that shrinks while it is open is told, not crashed on`() throws {
        try withFolder { folder in
            let path = folder + "/a.safetensors"
            try SafetensorsWriter.write([("a", Tensor.zeros([5000]))], to: path)
            let file = try SafetensorsFile(path: path)
            #expect(truncate(path, 100) == 0)
            #expect(throws: CheckpointError.self) { try file.tensor("a", shape: [5000]) }
        }
    }
}
