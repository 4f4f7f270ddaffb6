import Foundation
import Imaging
import Testing

@Suite struct PictureTests {
    @Test(arguments: ["rgb", "rgba", "grey", "grey1", "grey16", "greyalpha", "palette", "palette_transparent", "rgb16", "interlaced"])
    func `every layout of PNG is read as PIL reads it`(name: String) throws {
        let found = try Picture.load(path: Reference.path("\(name).png"), keepingAlpha: true)
        #expect(try difference(found, Reference.pixels("\(name).png")) == 0)
    }

    /// Two steps: libjpeg's versions differ in how they round the transform and the colours.
    @Test(arguments: ["rgb", "progressive", "grey", "cmyk"]) func `JPEGs of every colour space are read`(name: String) throws {
        #expect(try difference(Picture.load(path: Reference.path("\(name).jpg")), Reference.pixels("\(name).jpg")) <= 2)
    }

    @Test(arguments: ["lossy", "lossless", "alpha"]) func `WebP is read`(name: String) throws {
        let found = try Picture.load(path: Reference.path("\(name).webp"), keepingAlpha: true)
        #expect(try difference(found, Reference.pixels("\(name).webp")) <= (name == "lossy" ? 1 : 0))
    }

    @Test(arguments: (1...8).map { "turned\($0).jpg" } + ["turned6.png", "turned6.webp"]) func `pictures are turned upright`(name: String) throws {
        let expected = try Reference.pixels(name)
        #expect(try difference(Picture.load(path: Reference.path(name)), expected) <= 2)
        let info = try Picture.info(path: Reference.path(name))
        #expect(info.width == expected.width && info.height == expected.height)
        #expect("\(info.orientation)" == name.filter(\.isNumber))
    }

    @Test func `transparent parts become white unless opacity is kept`() throws {
        let flat = try Picture.load(path: Reference.path("rgba.png"))
        #expect(flat.alpha == nil)
        #expect(flat[0, 0] == (255, 255, 255))
    }

    @Test func `the kind is told by content, not by name`() throws {
        try withFolder { folder in
            try write(Reference.bytes("rgb.jpg"), to: folder + "/a.png")
            #expect(try Picture.info(path: folder + "/a.png").kind == "JPEG")
            #expect(try Picture.load(path: folder + "/a.png").width == 37)
        }
        #expect(throws: ImageError.self) { try PNG.decode(Reference.bytes("rgb.jpg")) }
        #expect(throws: ImageError.self) { try JPEG.decode(Reference.bytes("rgb.png")) }
    }

    // MARK: What is no picture

    static let others: [(String, [UInt8], ImageError)] = [
        ("text.png", Array("a text file, with ümlauts\n".utf8), .notAPicture(path: "", found: "a text file")),
        ("empty.png", [], .notAPicture(path: "", found: "an empty file")),
        ("noise.jpg", [0, 1, 2, 3, 200, 201], .notAPicture(path: "", found: "data of an unknown kind (6 bytes)")),
        ("a.gif", Array("GIF89a......".utf8), .unsupported(path: "", found: "a GIF picture")),
        ("a.bmp", Array("BM..........".utf8), .unsupported(path: "", found: "a BMP picture")),
        ("page.png", Array("<!DOCTYPE html>".utf8), .notAPicture(path: "", found: "an HTML page")),
    ]
    @Test(arguments: others) func `a file that is no picture is called by its name`(name: String, content: [UInt8], expected: ImageError) throws {
        try withFolder { folder in
            let path = folder + "/" + name
            try write(content, to: path)
            do throws(ImageError) {
                _ = try Picture.load(path: path)
                #expect(Bool(false), "it was accepted")
            } catch {
                #expect(error.description == expected.located(at: path).description)
                #expect(error.description.contains(path))
                #expect(!error.wayOut.isEmpty)
            }
        }
    }

    @Test func `folders and missing files are unreadable`() {
        #expect(throws: ImageError.unreadable(path: "/", reason: "it is a folder")) { try Picture.load(path: "/") }
        #expect(throws: ImageError.unreadable(path: "/nowhere.png", reason: "No such file or directory")) { try Picture.load(path: "/nowhere.png") }
    }

    @Test func `animated WebP is refused`() throws {
        #expect(throws: ImageError.unsupported(path: "the picture", found: "an animated WebP")) { try Picture.decode(Reference.bytes("animated.webp")) }
    }

    @Test(arguments: ["rgb.png", "interlaced.png", "palette.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg", "lossy.webp", "lossless.webp"])
    func `a picture that is cut short is told`(name: String) throws {
        let whole = try Reference.bytes(name)
        for count in [whole.count / 4, whole.count / 2, whole.count * 3 / 4, whole.count - 3] {
            let found = Result { () throws(ImageError) in try Picture.decode(Array(whole[..<count])) }
            guard case .failure(let error) = found else { return #expect(Bool(false), "\(count) of \(whole.count) bytes were accepted") }
            #expect(error.description.contains("cut short"), "\(count) of \(whole.count) bytes: \(error)")
        }
    }

    @Test func `a picture of one pixel is a picture`() throws {
        let one = Pixels(width: 1, height: 1, rgb: [1, 2, 3])
        #expect(try Picture.decode(PNG.encode(one)) == one)
    }

    @Test func `a size beyond the limit is told before memory is taken`() throws {
        // A PNG of 20,000 × 20,000 pixels (0x4E20): its header with checksum, the start of an empty IDAT, and nothing after it.
        let header: [UInt8] = [0x49, 0x48, 0x44, 0x52, 0, 0, 0x4E, 0x20, 0, 0, 0x4E, 0x20, 8, 2, 0, 0, 0]
        let checksum = withUnsafeBytes(of: crc32(header).bigEndian) { Array($0) }
        let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        let data: [UInt8] = [0, 0, 0, 0, 0x49, 0x44, 0x41, 0x54, 0x35, 0xAF, 0x06, 0x1E]
        let file = signature + [0, 0, 0, 13] + header + checksum + data
        #expect(throws: ImageError.tooLarge(path: "the picture", width: 20_000, height: 20_000, limit: 100_000_000)) { try Picture.decode(file) }
        for name in ["rgb.jpg", "lossy.webp"] {
            #expect(throws: ImageError.tooLarge(path: "the picture", width: 37, height: 29, limit: 1000)) { try Picture.decode(Reference.bytes(name), limit: 1000) }
        }
    }

    private func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc = ~UInt32(0)
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 {
                let isOdd = crc & 1 == 1
                crc >>= 1
                if isOdd { crc ^= 0xEDB8_8320 }
            }
        }
        return ~crc
    }

    /// A mistake in the shim would end the process.
    @Test func `three hundred damaged pictures are decoded or refused`() throws {
        let names = ["rgb.png", "rgba.png", "interlaced.png", "palette_transparent.png", "grey16.png", "text.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg",
                     "turned6.jpg", "turned6.png", "turned6.webp", "lossy.webp", "lossless.webp", "alpha.webp"]
        let sources = try names.map(Reference.bytes)
        var dice = Dice(11), refused = 0
        for round in 0..<300 {
            var content = sources[round % sources.count]
            for _ in 0...dice.roll(6) { content[8 + dice.roll(content.count - 8)] = UInt8(dice.roll(256)) }
            if dice.roll(4) == 0 { content.removeLast(dice.roll(content.count)) }
            do throws(ImageError) {
                let picture = try Picture.decode(content, limit: 1_000_000)
                #expect(picture.rgb.count == 3 * picture.width * picture.height)
            } catch { refused += 1 }
        }
        #expect(refused > 150)
    }
}
