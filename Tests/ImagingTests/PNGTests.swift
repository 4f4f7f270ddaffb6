import Foundation
import Imaging
import Testing

@Suite struct PNGTests {
    private static let opaque = Pixels(width: 5, height: 3, rgb: (0..<45).map { UInt8($0 * 5) })

    @Test(arguments: [PNG.Effort.fast, .small]) func `what is written is read again`(effort: PNG.Effort) throws {
        var picture = Self.opaque
        #expect(try PNG.decode(PNG.encode(picture, effort: effort)) == picture)
        picture.alpha = (0..<15).map { UInt8($0 * 17) }
        #expect(try PNG.decode(PNG.encode(picture, effort: effort)) == picture)
    }

    @Test func `text chunks go out and come back, in Latin and in Chinese`() throws {
        let text = [("parameters", "a cat, steps: 20, \"quoted\"\nsecond line"), ("prompt", "一只猫 🐈"), ("empty", "")]
        let found = try PNG.read(PNG.encode(Self.opaque, text: text)).text
        #expect(found.map(\.key) == text.map(\.0))
        #expect(found.map(\.value) == text.map(\.1))
    }

    @Test func `text chunks of PIL are read, compressed ones too`() throws {
        let text = try PNG.read(Reference.bytes("text.png")).text
        #expect(Dictionary(uniqueKeysWithValues: text.map { ($0.key, $0.value) }) == ["parameters": "a cat, steps: 20", "prompt": "一只猫 “cat”", "comment": "Grüße"])
    }

    @Test(arguments: ["", " a", "a ", "schlüssel", String(repeating: "k", count: 80)]) func `keys that the format does not allow are refused`(key: String) {
        #expect(throws: ImageError.self) { try PNG.encode(Self.opaque, text: [(key, "x")]) }
    }

    @Test func `NUL in a text and an empty picture are refused`() {
        #expect(throws: ImageError.self) { try PNG.encode(Self.opaque, text: [("a", "x\0y")]) }
        #expect(throws: ImageError.self) { try PNG.encode(Pixels(width: 0, height: 4, rgb: [])) }
    }

    @Test func `files are written whole or not at all`() throws {
        try withFolder { folder in
            try PNG.write(Self.opaque, to: folder + "/a.png", text: [("k", "v")])
            #expect(try Picture.load(path: folder + "/a.png") == Self.opaque)
            #expect(throws: ImageError.cannotWrite(path: folder + "/none/a.png", reason: "No such file or directory")) {
                try PNG.write(Self.opaque, to: folder + "/none/a.png")
            }
            try FileManager.default.createDirectory(atPath: folder + "/b.png", withIntermediateDirectories: false)
            #expect(throws: ImageError.self) { try PNG.write(Self.opaque, to: folder + "/b.png") }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["a.png", "b.png"])
        }
    }
}
