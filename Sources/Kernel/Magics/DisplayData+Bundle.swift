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

    /// `metadata` of a display message: the size to show the picture at.
    var bundleMetadata: JSON {
        guard png != nil, let pixelSize else { return [:] }
        return ["image/png": ["width": .integer(pixelSize.width), "height": .integer(pixelSize.height)]]
    }
}
