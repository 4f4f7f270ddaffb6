import CImaging
import Glibc

/// PNG files: all of the format's pixel layouts read as 8-bit RGB with opacity; 8-bit RGB or RGBA written.
public enum PNG {
    /// A picture with the notes that stand in its text chunks.
    public struct File: Sendable {
        public let pixels: Pixels
        /// In the file's order, `tEXt`, `zTXt` and `iTXt` alike.
        public let text: [(key: String, value: String)]
    }

    /// How much time goes into making the file small.
    public enum Effort: Sendable {
        /// For drawings that are shown at once: large even areas are small anyway.
        case fast
        /// For pictures that are kept.
        case small
    }

    /// The picture as stored, with its opacity; EXIF's orientation is not applied (`Picture.load` does).
    public static func decode(_ bytes: [UInt8], limit: Int = Picture.maximumPixels) throws(ImageError) -> Pixels {
        try read(bytes, limit: limit).pixels
    }

    public static func read(_ bytes: [UInt8], limit: Int = Picture.maximumPixels) throws(ImageError) -> File {
        try Picture.check(bytes, is: .png, path: "the picture")
        let image = try ImageKind.png.decode(bytes, path: "the picture", limit: limit)
        return File(pixels: image.pixels, text: image.text)
    }

    /// - Parameter text: notes such as ("parameters", …): the key of 1 to 79 printable ASCII characters, the value any text without
    ///   NUL; what is not ASCII goes into UTF-8 chunks (`iTXt`).
    /// - Throws: `cannotEncode` for an empty picture or a key that the format does not allow.
    public static func encode(_ pixels: Pixels, text: [(key: String, value: String)] = [], effort: Effort = .small) throws(ImageError) -> [UInt8] {
        guard pixels.width > 0, pixels.height > 0 else { throw .cannotEncode(reason: "it has \(pixels.width)×\(pixels.height) pixels") }
        for (key, value) in text {
            guard (1...79).contains(key.utf8.count), key.utf8.allSatisfy({ (32..<127).contains($0) }), key.first != " ", key.last != " " else {
                throw .cannotEncode(reason: "the text key \"\(key)\" is not 1 to 79 printable ASCII characters")
            }
            if value.utf8.contains(0) { throw .cannotEncode(reason: "the text of \"\(key)\" contains NUL") }
        }
        let chunks = text.map { key, value in
            ci_text(key: strdup(key), text: strdup(value), is_utf8: value.utf8.allSatisfy { $0 < 128 } ? 0 : 1)
        }
        defer { for chunk in chunks { free(chunk.key); free(chunk.text) } }
        var buffer = ci_buffer()
        defer { free(buffer.bytes) }
        var message = [CChar](repeating: 0, count: 200)
        let status = ci_png_encode(
            pixels.rgb, pixels.alpha, UInt32(pixels.width), UInt32(pixels.height), chunks, Int32(chunks.count),
            effort == .fast ? 1 : 0, &buffer, &message)
        guard status == CI_OK else { throw .cannotEncode(reason: String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)) }
        return Array(UnsafeBufferPointer(start: buffer.bytes, count: buffer.count))
    }

    /// Writes a file whole or not at all.
    public static func write(_ pixels: Pixels, to path: String, text: [(key: String, value: String)] = []) throws(ImageError) {
        let bytes = try encode(pixels, text: text)
        let temporary = "\(path).\(getpid())-\(UInt32.random(in: 0 ... .max)).part"
        guard let file = fopen(temporary, "wbxe") else { throw .cannotWrite(path: path, reason: String(cString: strerror(errno))) }
        let isWritten = fwrite(bytes, 1, bytes.count, file) == bytes.count && fflush(file) == 0 && fsync(fileno(file)) == 0
        var code = errno
        let isClosed = fclose(file) == 0
        if isWritten, isClosed, rename(temporary, path) == 0 { return }
        if isWritten { code = errno }
        unlink(temporary)
        throw .cannotWrite(path: path, reason: String(cString: strerror(code)))
    }
}

/// JPEG files: grey, YCbCr, RGB and CMYK, baseline and progressive.
public enum JPEG {
    /// The picture as stored; EXIF's orientation is not applied (`Picture.load` does).
    public static func decode(_ bytes: [UInt8], limit: Int = Picture.maximumPixels) throws(ImageError) -> Pixels {
        try Picture.check(bytes, is: .jpeg, path: "the picture")
        return try ImageKind.jpeg.decode(bytes, path: "the picture", limit: limit).pixels
    }
}
