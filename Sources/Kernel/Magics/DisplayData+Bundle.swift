import JupyterWire

extension DisplayData {
    /// `data` of a display message: one member per mime type.
    var bundle: JSON {
        var data: [String: JSON] = ["text/plain": .string(plain)]
        if let html { data["text/html"] = .string(html) }
        if let markdown { data["text/markdown"] = .string(markdown) }
        if let svg { data["image/svg+xml"] = .string(svg) }
        if let png { data["image/png"] = .string(Base64.encode(png)) }
        if let json { data["application/json"] = json }
        return .object(data.merging(further) { own, _ in own })
    }

    /// `metadata` of a display message: the size to show the picture at, in CSS pixels.
    var bundleMetadata: JSON {
        guard let png, let pixelDensity, png.count >= Self.sidesInPNG.upperBound else { return [:] }
        func side(_ bytes: Range<Int>) -> JSON {
            let pixels = png[bytes].reduce(0) { $0 << 8 | Int($1) }
            return .integer((pixels + pixelDensity - 1) / pixelDensity)
        }
        let start = Self.sidesInPNG.lowerBound, middle = start + 4
        return ["image/png": ["width": side(start..<middle), "height": side(middle..<Self.sidesInPNG.upperBound)]]
    }

    /// Where a PNG's header has width and height, four bytes each, the highest first.
    private static let sidesInPNG = 16..<24
}
