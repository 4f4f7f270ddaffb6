import Glibc

/// Picture files, whatever their kind: PNG, JPEG or WebP, told by their content and not by their names.
public enum Picture {
    /// The default limit: 100 million pixels, 300 MB once read.
    public static let maximumPixels = 100_000_000
    /// Bytes; no picture within the limit of pixels needs more.
    static let maximumFileSize = 1 << 30

    /// What a file's header says.
    public struct Info: Sendable, Equatable {
        /// Pixels, once turned upright.
        public let width: Int, height: Int
        /// "PNG", "JPEG" or "WebP".
        public let kind: String
        /// EXIF's orientation, 1 … 8; 1 is upright.
        public let orientation: Int
    }

    /// The picture, turned upright as EXIF says and laid on white where it is transparent.
    /// - Parameter keepingAlpha: keeps the opacity plane instead.
    /// - Throws: `ImageError` with the path and what was found there.
    public static func load(path: String, keepingAlpha: Bool = false, limit: Int = maximumPixels) throws(ImageError) -> Pixels {
        let bytes = try contents(path)
        let image = try kind(of: bytes, path: path).decode(bytes, path: path, limit: limit)
        let upright = image.pixels.upright(fromOrientation: image.orientation)
        return keepingAlpha ? upright : upright.flattened()
    }

    /// The same for bytes that are in memory.
    public static func decode(_ bytes: [UInt8], keepingAlpha: Bool = false, limit: Int = maximumPixels) throws(ImageError) -> Pixels {
        let image = try kind(of: bytes, path: "the picture").decode(bytes, path: "the picture", limit: limit)
        let upright = image.pixels.upright(fromOrientation: image.orientation)
        return keepingAlpha ? upright : upright.flattened()
    }

    /// Size and kind from the header alone; the pixels may still turn out to be damaged.
    public static func info(path: String, limit: Int = maximumPixels) throws(ImageError) -> Info {
        let bytes = try contents(path)
        let kind = try kind(of: bytes, path: path)
        let header = try kind.header(bytes, path: path, limit: limit)
        let isTurned = header.orientation >= 5
        return Info(
            width: isTurned ? header.height : header.width, height: isTurned ? header.width : header.height,
            kind: kind.rawValue, orientation: header.orientation)
    }

    private static func contents(_ path: String) throws(ImageError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: status.st_mode & S_IFMT == S_IFDIR ? "it is a folder" : "it is not a plain file")
        }
        guard status.st_size <= maximumFileSize else { throw .unreadable(path: path, reason: "it has \(status.st_size) bytes, at most \(maximumFileSize) are read") }
        let size = Int(status.st_size)
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            while count < size {
                let got = read(descriptor, target.baseAddress! + count, size - count)
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failure = errno }
                if got <= 0 { break }
                count += got
            }
        }
        guard failure == 0 else { throw .unreadable(path: path, reason: String(cString: strerror(failure))) }
        return bytes
    }

    // MARK: Telling by content

    static func check(_ bytes: [UInt8], is expected: ImageKind, path: String) throws(ImageError) {
        let found = try kind(of: bytes, path: path)
        guard found == expected else { throw .notAPicture(path: path, found: "a \(found.rawValue) picture, not \(expected.rawValue)") }
    }

    static func kind(of bytes: [UInt8], path: String) throws(ImageError) -> ImageKind {
        if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) { return .png }
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) { return .jpeg }
        if bytes.starts(with: Array("RIFF".utf8)), bytes.dropFirst(8).starts(with: Array("WEBP".utf8)) { return .webp }
        if bytes.isEmpty { throw .notAPicture(path: path, found: "an empty file") }
        if let other = otherPictures.first(where: { bytes.dropFirst($0.offset).starts(with: $0.start) }) {
            throw .unsupported(path: path, found: other.name)
        }
        if let other = otherFiles.first(where: { bytes.starts(with: $0.start) }) { throw .notAPicture(path: path, found: other.name) }
        throw .notAPicture(path: path, found: isText(bytes) ? "a text file" : "data of an unknown kind (\(bytes.count) bytes)")
    }

    private static let otherPictures: [(start: [UInt8], offset: Int, name: String)] = [
        (Array("GIF8".utf8), 0, "a GIF picture"), (Array("BM".utf8), 0, "a BMP picture"), ([0x49, 0x49, 0x2A, 0x00], 0, "a TIFF picture"),
        ([0x4D, 0x4D, 0x00, 0x2A], 0, "a TIFF picture"), (Array("ftypavif".utf8), 4, "an AVIF picture"), (Array("ftypheic".utf8), 4, "a HEIC picture"),
        (Array("ftypmif1".utf8), 4, "a HEIF picture"), ([0xFF, 0x0A], 0, "a JPEG XL picture"), (Array("JXL ".utf8), 4, "a JPEG XL picture"),
        ([0x89, 0x50, 0x4E, 0x47], 0, "a PNG picture whose line ends were changed by a text transfer"),
        (Array("8BPS".utf8), 0, "a Photoshop picture"), (Array("<svg".utf8), 0, "an SVG drawing"),
    ]

    private static let otherFiles: [(start: [UInt8], name: String)] = [
        (Array("version https://git-lfs".utf8), "a Git LFS pointer, a text that stands for the real file (run `git lfs pull`)"),
        (Array("<!DOCTYPE".utf8), "an HTML page"), (Array("<!doctype".utf8), "an HTML page"), (Array("<html".utf8), "an HTML page"),
        (Array("%PDF".utf8), "a PDF document"), ([0x50, 0x4B, 0x03, 0x04], "a zip archive"),
    ]

    /// Whether the first kilobyte is UTF-8 without control characters.
    private static func isText(_ bytes: [UInt8]) -> Bool {
        let start = bytes.prefix(1024)
        // The cut may go through a character of several bytes: up to three bytes at the end do not count.
        let whole = (0...3).contains { String(validating: start.dropLast(bytes.count > 1024 ? $0 : 0), as: UTF8.self) != nil }
        return whole && start.allSatisfy { $0 >= 32 || (9...13).contains($0) }
    }
}
