/// A picture: 8-bit RGB, row by row from the top, with an optional plane of opacity.
///
/// Colours are sRGB as they stand in the file; nothing is premultiplied.
public struct Pixels: Sendable, Equatable {
    /// Pixels.
    public let width: Int, height: Int
    /// `3 · width · height` bytes: red, green, blue of the top left pixel first.
    public var rgb: [UInt8]
    /// `width · height` bytes, 0 transparent … 255 opaque; nil where everything is opaque.
    public var alpha: [UInt8]?

    public init(width: Int, height: Int, rgb: [UInt8], alpha: [UInt8]? = nil) {
        precondition(width >= 0 && height >= 0 && rgb.count == 3 * width * height, "\(rgb.count) bytes are not \(width)×\(height) RGB pixels")
        precondition(alpha.map { $0.count == width * height } ?? true, "an opacity plane must have one byte for each of \(width)×\(height) pixels")
        (self.width, self.height, self.rgb, self.alpha) = (width, height, rgb, alpha)
    }

    /// A picture of one colour.
    public init(width: Int, height: Int, colour: (red: UInt8, green: UInt8, blue: UInt8) = (255, 255, 255)) {
        var rgb = [UInt8](repeating: colour.red, count: 3 * width * height)
        if colour.green != colour.red || colour.blue != colour.red {
            for i in stride(from: 0, to: rgb.count, by: 3) { (rgb[i + 1], rgb[i + 2]) = (colour.green, colour.blue) }
        }
        self.init(width: width, height: height, rgb: rgb)
    }

    /// Red, green, blue of one pixel; x to the right, y downwards.
    public subscript(x: Int, y: Int) -> (red: UInt8, green: UInt8, blue: UInt8) {
        get {
            let i = offset(x, y)
            return (rgb[i], rgb[i + 1], rgb[i + 2])
        }
        set {
            let i = offset(x, y)
            (rgb[i], rgb[i + 1], rgb[i + 2]) = newValue
        }
    }

    private func offset(_ x: Int, _ y: Int) -> Int {
        precondition(x >= 0 && x < width && y >= 0 && y < height, "pixel (\(x), \(y)) is outside of \(width)×\(height)")
        return 3 * (y * width + x)
    }
}

// MARK: Numbers for networks

extension Pixels {
    /// `x / 127.5 − 1`: `[H, W, 3]` row-major, −1 black … 1 full.
    public func floats() -> [Float] {
        // One value per byte, made as (x/255 − 0.5)/0.5 in float32 like the reference transforms, so that the numbers are theirs.
        let table = (0...255).map { (Float($0) / 255 - 0.5) / 0.5 }
        return [Float](unsafeUninitializedCapacity: rgb.count) { target, count in
            for (i, byte) in rgb.enumerated() { target.initializeElement(at: i, to: table[Int(byte)]) }
            count = rgb.count
        }
    }

    /// From `[H, W, 3]` in −1 … 1; values outside are clipped, NaN becomes black, the rest rounded to the nearest byte.
    public init(width: Int, height: Int, floats: some Collection<Float>) {
        let rgb = [UInt8](unsafeUninitializedCapacity: floats.count) { target, count in
            for (i, value) in floats.enumerated() { target.initializeElement(at: i, to: Self.byte(value * 127.5 + 127.5)) }
            count = floats.count
        }
        self.init(width: width, height: height, rgb: rgb)
    }

    /// Nearest byte; NaN is 0.
    static func byte(_ value: Float) -> UInt8 { value > 0 ? UInt8(min(value, 255) + 0.5) : 0 }
}

// MARK: Whole-picture changes

extension Pixels {
    /// The part of `width`×`height` pixels whose top left corner is at (x, y); it must lie inside.
    public func cropped(x: Int, y: Int, width: Int, height: Int) -> Pixels {
        precondition(
            x >= 0 && y >= 0 && width >= 0 && height >= 0 && x + width <= self.width && y + height <= self.height,
            "\(width)×\(height) at (\(x), \(y)) is not inside of \(self.width)×\(self.height)")
        return rearranged(width: width, height: height) { x + $0 + (y + $1) * self.width }
    }

    /// The middle part; `trim / 2` rounded down is cut off at the left and the top, as Kohya's scripts do.
    public func croppedCentre(width: Int, height: Int) -> Pixels {
        cropped(x: (self.width - width) / 2, y: (self.height - height) / 2, width: width, height: height)
    }

    /// Left and right exchanged.
    public func flippedHorizontally() -> Pixels {
        rearranged(width: width, height: height) { width - 1 - $0 + $1 * width }
    }

    /// Top and bottom exchanged.
    public func flippedVertically() -> Pixels {
        rearranged(width: width, height: height) { $0 + (height - 1 - $1) * width }
    }

    /// Turned upright from one of the eight orientations of EXIF (tag 0x0112; 1 is upright); others leave it as it is.
    public func upright(fromOrientation orientation: Int) -> Pixels {
        let (w, h) = (width, height)
        return switch orientation {
        case 2: flippedHorizontally()
        case 3: rearranged(width: w, height: h) { w - 1 - $0 + (h - 1 - $1) * w }
        case 4: flippedVertically()
        case 5: rearranged(width: h, height: w) { $1 + $0 * w }
        case 6: rearranged(width: h, height: w) { $1 + (h - 1 - $0) * w }
        case 7: rearranged(width: h, height: w) { w - 1 - $1 + (h - 1 - $0) * w }
        case 8: rearranged(width: h, height: w) { w - 1 - $1 + $0 * w }
        default: self
        }
    }

    /// Each target pixel (x, y) taken from the source pixel `source(x, y)`.
    private func rearranged(width: Int, height: Int, _ source: (Int, Int) -> Int) -> Pixels {
        var rgb = [UInt8](repeating: 0, count: 3 * width * height)
        var alpha = alpha == nil ? nil : [UInt8](repeating: 0, count: width * height)
        var i = 0
        for y in 0..<height {
            for x in 0..<width {
                let j = source(x, y)
                (rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]) = (self.rgb[3 * j], self.rgb[3 * j + 1], self.rgb[3 * j + 2])
                alpha?[i] = self.alpha![j]
                i += 1
            }
        }
        return Pixels(width: width, height: height, rgb: rgb, alpha: alpha)
    }

    /// Laid on a ground of one colour; without an opacity plane the picture itself.
    public func flattened(on ground: (red: UInt8, green: UInt8, blue: UInt8) = (255, 255, 255)) -> Pixels {
        guard let alpha else { return self }
        let ground = [Int(ground.red), Int(ground.green), Int(ground.blue)]
        var rgb = rgb
        for i in rgb.indices {
            let a = Int(alpha[i / 3])
            rgb[i] = UInt8((Int(rgb[i]) * a + ground[i % 3] * (255 - a) + 127) / 255)
        }
        return Pixels(width: width, height: height, rgb: rgb)
    }

    /// Puts `picture` over this one with its top left corner at (x, y); what sticks out is left away.
    public mutating func paste(_ picture: Pixels, x: Int, y: Int) {
        let left = max(0, x), right = min(width, x + picture.width)
        guard left < right else { return }
        for row in max(0, y)..<max(max(0, y), min(height, y + picture.height)) {
            let from = 3 * ((row - y) * picture.width + left - x), to = 3 * (row * width + left), count = 3 * (right - left)
            rgb.replaceSubrange(to..<(to + count), with: picture.rgb[from..<(from + count)])
        }
    }

    /// The whole picture inside of `width`×`height`, as large as it fits, centred on a ground of one colour.
    public func letterboxed(
        width: Int, height: Int, ground: (red: UInt8, green: UInt8, blue: UInt8) = (255, 255, 255), filter: ResizeFilter = .lanczos
    ) -> Pixels {
        var board = Pixels(width: width, height: height, colour: ground)
        guard self.width > 0, self.height > 0, width > 0, height > 0 else { return board }
        let scale = min(Double(width) / Double(self.width), Double(height) / Double(self.height))
        let inner = (w: max(1, Int((Double(self.width) * scale).rounded())), h: max(1, Int((Double(self.height) * scale).rounded())))
        let picture = flattened(on: ground).resized(width: inner.w, height: inner.h, filter: filter)
        board.paste(picture, x: (width - inner.w) / 2, y: (height - inner.h) / 2)
        return board
    }
}
