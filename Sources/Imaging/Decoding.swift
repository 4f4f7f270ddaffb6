import CImaging

/// What a decoder of the C shim gives back, as Swift values.
struct DecodedImage {
    var pixels: Pixels
    var orientation: Int
    var text: [(key: String, value: String)]
}

/// Width and height in pixels as stored, and EXIF's orientation.
struct ImageHeader { var width: Int, height: Int, orientation: Int }

/// The kinds of picture files that are read.
enum ImageKind: String, CaseIterable {
    case png = "PNG", jpeg = "JPEG", webp = "WebP"

    private typealias Decoder = (UnsafePointer<UInt8>?, Int, UInt64, Int32, UnsafeMutablePointer<ci_image>?) -> ci_status
    private var decoder: Decoder {
        switch self {
        case .png: ci_png_decode
        case .jpeg: ci_jpeg_decode
        case .webp: ci_webp_decode
        }
    }

    func decode(_ bytes: [UInt8], path: String, limit: Int) throws(ImageError) -> DecodedImage {
        var image = ci_image()
        defer { ci_image_free(&image) }
        try run(bytes, path: path, limit: limit, headerOnly: false, &image)
        let text = (0..<Int(image.text_count)).map { i in (key: latin1(image.text[i].key), value: string(image.text[i])) }
        return DecodedImage(pixels: pixels(image), orientation: Int(image.orientation), text: text)
    }

    func header(_ bytes: [UInt8], path: String, limit: Int) throws(ImageError) -> ImageHeader {
        var image = ci_image()
        defer { ci_image_free(&image) }
        try run(bytes, path: path, limit: limit, headerOnly: true, &image)
        return ImageHeader(width: Int(image.width), height: Int(image.height), orientation: Int(image.orientation))
    }

    private func run(_ bytes: [UInt8], path: String, limit: Int, headerOnly: Bool, _ image: inout ci_image) throws(ImageError) {
        try checkClaimedSize(bytes, path: path, limit: limit)
        let status = bytes.withUnsafeBufferPointer { decoder($0.baseAddress, $0.count, UInt64(limit), headerOnly ? 1 : 0, &image) }
        let message = withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        switch status {
        case CI_OK: return
        case CI_TRUNCATED: throw .truncated(path: path, kind: rawValue)
        case CI_TOO_LARGE: throw .tooLarge(path: path, width: Int(image.width), height: Int(image.height), limit: limit)
        case CI_UNSUPPORTED: throw .unsupported(path: path, found: message)
        case CI_NO_MEMORY: throw .damaged(path: path, kind: rawValue, reason: "there is not enough memory to read it")
        default: throw .damaged(path: path, kind: rawValue, reason: message)
        }
    }

    /// The size that a PNG claims in its first chunk, judged before the decoder looks at what follows: of a file that is too large and cut short, too, it is
    /// the size that its owner has to know.
    private func checkClaimedSize(_ bytes: [UInt8], path: String, limit: Int) throws(ImageError) {
        guard self == .png, bytes.count >= 24 else { return }
        let width = bytes[16..<20].reduce(0) { $0 << 8 | Int($1) }, height = bytes[20..<24].reduce(0) { $0 << 8 | Int($1) }
        guard width == 0 || height <= limit / width else { throw .tooLarge(path: path, width: width, height: height, limit: limit) }
    }
}

private func pixels(_ image: ci_image) -> Pixels {
    let (width, height) = (Int(image.width), Int(image.height)), count = width * height
    guard image.channels == 4 else {
        return Pixels(width: width, height: height, rgb: Array(UnsafeBufferPointer(start: image.pixels, count: 3 * count)))
    }
    let source = UnsafeBufferPointer(start: image.pixels, count: 4 * count)
    let alpha = [UInt8](unsafeUninitializedCapacity: count) { target, filled in
        for i in 0..<count { target.initializeElement(at: i, to: source[4 * i + 3]) }
        filled = count
    }
    let rgb = [UInt8](unsafeUninitializedCapacity: 3 * count) { target, filled in
        for i in 0..<count {
            for c in 0..<3 { target.initializeElement(at: 3 * i + c, to: source[4 * i + c]) }
        }
        filled = 3 * count
    }
    return Pixels(width: width, height: height, rgb: rgb, alpha: alpha.allSatisfy { $0 == 255 } ? nil : alpha)
}

private func string(_ text: ci_text) -> String { text.is_utf8 != 0 ? String(cString: text.text) : latin1(text.text) }

/// Text of which every byte is one of the first 256 code points.
private func latin1(_ text: UnsafePointer<CChar>) -> String {
    var result = ""
    var next = text
    while next.pointee != 0 {
        result.unicodeScalars.append(Unicode.Scalar(UInt8(bitPattern: next.pointee)))
        next += 1
    }
    return result
}
