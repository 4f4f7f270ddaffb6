/// A size in pixels.
public struct PixelSize: Sendable, Equatable, Hashable, Codable, CustomStringConvertible {
    public var width: Int
    public var height: Int

    public init(_ width: Int, _ height: Int) {
        self.width = width
        self.height = height
    }

    public var description: String { "\(width)×\(height)" }
    /// width / height.
    public var aspectRatio: Double { Double(width) / Double(height) }
}

/// How pictures of different proportions are sorted into sizes that can share a batch. Defaults are Kohya's GUI's.
public struct BucketOptions: Sendable, Equatable, Codable {
    /// Off: every picture is cut to the resolution.
    public var isEnabled: Bool
    /// Shortest and longest side of a bucket, pixels; used when pictures may be enlarged.
    public var minimumSide: Int, maximumSide: Int
    /// Sides are multiples of this, pixels.
    public var step: Int
    /// Small pictures keep their size; large ones are brought to the resolution's area.
    public var neverUpscales: Bool

    public init(isEnabled: Bool = true, minimumSide: Int = 256, maximumSide: Int = 2048, step: Int = 64, neverUpscales: Bool = true) {
        self.isEnabled = isEnabled
        self.minimumSide = minimumSide
        self.maximumSide = maximumSide
        self.step = step
        self.neverUpscales = neverUpscales
    }
}

/// Where a picture goes: the size it is resized to, and the bucket that is cut out of its middle.
public struct BucketPlacement: Sendable, Equatable {
    public let bucket: PixelSize
    public let resized: PixelSize
    /// |bucket's aspect ratio − picture's|.
    public let aspectError: Double
}

/// The rule that places pictures, for one resolution (sd-scripts `train_util.BucketManager`).
public struct BucketRule: Sendable {
    public let resolution: PixelSize
    public let options: BucketOptions
    /// All buckets there can be, ascending; empty when they follow the pictures (never upscaling) and one when disabled.
    public let predefined: [PixelSize]

    /// - Throws: `DatasetError.invalidOption` for sides that contradict each other.
    public init(resolution: PixelSize, options: BucketOptions = BucketOptions()) throws(DatasetError) {
        let sides = 16...8192
        for (name, value) in [("resolution width", resolution.width), ("resolution height", resolution.height)] where !sides.contains(value) {
            throw .invalidOption(name: name, value: "\(value)", allowed: "16 to 8192 pixels", nearest: "\(min(max(value, 16), 8192))")
        }
        guard (8...1024).contains(options.step) else {
            throw .invalidOption(name: "bucket step", value: "\(options.step)", allowed: "8 to 1024 pixels", nearest: "\(min(max(options.step, 8), 1024))")
        }
        self.resolution = resolution
        self.options = options
        guard options.isEnabled, !options.neverUpscales else {
            predefined = options.isEnabled ? [] : [resolution]
            return
        }
        let step = options.step
        let low = options.minimumSide / step * step, high = (options.maximumSide + step - 1) / step * step
        guard low > 0, low <= min(resolution.width, resolution.height) else {
            throw .invalidOption(
                name: "minimum bucket side", value: "\(options.minimumSide)", allowed: "\(step) to the resolution's shorter side",
                nearest: "\(min(resolution.width, resolution.height) / step * step)")
        }
        guard high >= max(resolution.width, resolution.height) else {
            throw .invalidOption(
                name: "maximum bucket side", value: "\(options.maximumSide)", allowed: "at least the resolution's longer side",
                nearest: "\(max(resolution.width, resolution.height))")
        }
        predefined = Self.sizes(area: resolution.width * resolution.height, from: low, to: high, step: step)
    }

    /// Every width in steps with the greatest height that keeps the area, both ways round, and the square.
    private static func sizes(area: Int, from low: Int, to high: Int, step: Int) -> [PixelSize] {
        var found: Set<PixelSize> = []
        let side = Int(Double(area).squareRoot()) / step * step
        found.insert(PixelSize(side, side))
        for width in stride(from: low, through: high, by: step) {
            let height = min(high, area / width / step * step)
            if height >= low {
                found.insert(PixelSize(width, height))
                found.insert(PixelSize(height, width))
            }
        }
        return found.sorted { ($0.width, $0.height) < ($1.width, $1.height) }
    }

    /// Where a picture of this size goes.
    public func place(_ size: PixelSize) -> BucketPlacement {
        let bucket: PixelSize, resized: PixelSize
        if options.isEnabled && options.neverUpscales {
            resized = shrunkToArea(size)
            let step = options.step
            // A side shorter than one step becomes one step: such a picture has to grow after all.
            bucket = PixelSize(max(step, resized.width / step * step), max(step, resized.height / step * step))
            if resized.width < bucket.width || resized.height < bucket.height {
                return BucketPlacement(bucket: bucket, resized: Self.covering(bucket, size), aspectError: abs(bucket.aspectRatio - size.aspectRatio))
            }
        } else {
            bucket = predefined.contains(size) ? size : nearest(to: size.aspectRatio)
            resized = Self.covering(bucket, size)
        }
        return BucketPlacement(bucket: bucket, resized: resized, aspectError: abs(bucket.aspectRatio - size.aspectRatio))
    }

    /// The first predefined bucket of the closest aspect ratio.
    private func nearest(to ratio: Double) -> PixelSize {
        var best = predefined[0]
        for bucket in predefined where abs(bucket.aspectRatio - ratio) < abs(best.aspectRatio - ratio) { best = bucket }
        return best
    }

    /// The picture scaled so that it just covers the bucket.
    private static func covering(_ bucket: PixelSize, _ size: PixelSize) -> PixelSize {
        let scale = size.aspectRatio > bucket.aspectRatio
            ? Double(bucket.height) / Double(size.height) : Double(bucket.width) / Double(size.width)
        return PixelSize(max(bucket.width, rounded(Double(size.width) * scale)), max(bucket.height, rounded(Double(size.height) * scale)))
    }

    /// A picture larger than the resolution's area brought to it, one side on a multiple of the step: whichever side keeps the
    /// aspect ratio better. Others stay as they are.
    private func shrunkToArea(_ size: PixelSize) -> PixelSize {
        let area = resolution.width * resolution.height, ratio = size.aspectRatio, step = options.step
        guard size.width * size.height > area else { return size }
        let idealWidth = (Double(area) * ratio).squareRoot(), idealHeight = Double(area) / idealWidth
        func snapped(_ side: Double) -> Int { Self.rounded(side) / step * step }
        let byWidth = max(step, snapped(idealWidth)), itsHeight = max(step, snapped(Double(byWidth) / ratio))
        let byHeight = max(step, snapped(idealHeight)), itsWidth = max(step, snapped(Double(byHeight) * ratio))
        let widthError = abs(Double(byWidth) / Double(itsHeight) - ratio), heightError = abs(Double(itsWidth) / Double(byHeight) - ratio)
        return widthError < heightError
            ? PixelSize(byWidth, Self.rounded(Double(byWidth) / ratio)) : PixelSize(Self.rounded(Double(byHeight) * ratio), byHeight)
    }

    private static func rounded(_ value: Double) -> Int { Int(value + 0.5) }
}
