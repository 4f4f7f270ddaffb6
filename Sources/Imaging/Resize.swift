import Glibc

/// How a picture's size is changed.
public enum ResizeFilter: String, Sendable, CaseIterable {
    /// The source pixel under the target pixel's middle; as PIL's NEAREST.
    case nearest
    /// PIL's BOX, BILINEAR, BICUBIC (a = −0.5) and LANCZOS (three lobes): widened when shrinking, so that every source pixel counts.
    case box, bilinear, bicubic, lanczos
    /// OpenCV's INTER_AREA: the mean of the source area under each target pixel when both sides shrink; otherwise linear, as there.
    case area
}

extension Pixels {
    /// The picture in another size.
    ///
    /// PIL 13's filters are met byte for byte on opaque pictures, OpenCV's to one step of 255. Colours are weighted by their opacity, so that hidden colours
    /// do not bleed out. Source: libImaging/Resample.c; imgproc/src/resize.cpp.
    public func resized(width: Int, height: Int, filter: ResizeFilter = .lanczos) -> Pixels {
        precondition(width > 0 && height > 0 && self.width > 0 && self.height > 0, "\(self.width)×\(self.height) cannot become \(width)×\(height)")
        if width == self.width && height == self.height { return self }
        guard let alpha, filter != .nearest else { return resampled(self, width, height, filter) }
        let opacity = Pixels(width: self.width, height: self.height, rgb: alpha.flatMap { [$0, $0, $0] })
        let opacities = resampled(opacity, width, height, filter).rgb
        let newAlpha = stride(from: 0, to: opacities.count, by: 3).map { opacities[$0] }
        var result = resampled(premultiplied(), width, height, filter)
        for i in result.rgb.indices where newAlpha[i / 3] > 0 { result.rgb[i] = UInt8(min(255, Int(result.rgb[i]) * 255 / Int(newAlpha[i / 3]))) }
        result.alpha = newAlpha
        return result
    }

    /// The smallest size of the same proportions that covers `width`×`height`; sides rounded half up, as Kohya's buckets do.
    public func resizedToCover(width: Int, height: Int, filter: ResizeFilter = .lanczos) -> Pixels {
        let scale = Double(self.width) / Double(self.height) > Double(width) / Double(height)
            ? Double(height) / Double(self.height) : Double(width) / Double(self.width)
        return resized(
            width: max(width, Int(Double(self.width) * scale + 0.5)), height: max(height, Int(Double(self.height) * scale + 0.5)), filter: filter)
    }

    private func premultiplied() -> Pixels {
        guard let alpha else { return self }
        var rgb = rgb
        for i in rgb.indices {
            let t = Int(rgb[i]) * Int(alpha[i / 3]) + 128
            rgb[i] = UInt8(((t >> 8) + t) >> 8)
        }
        return Pixels(width: width, height: height, rgb: rgb)
    }
}

private func resampled(_ source: Pixels, _ width: Int, _ height: Int, _ filter: ResizeFilter) -> Pixels {
    switch filter {
    case .nearest: nearest(source, width, height)
    case .area: area(source, width, height)
    case .box: convolved(source, width, height, support: 0.5) { $0 > -0.5 && $0 <= 0.5 ? 1 : 0 }
    case .bilinear: convolved(source, width, height, support: 1) { max(0, 1 - abs($0)) }
    case .bicubic: convolved(source, width, height, support: 2, cubic)
    case .lanczos: convolved(source, width, height, support: 3) { abs($0) < 3 ? sinc($0) * sinc($0 / 3) : 0 }
    }
}

/// Keys' cubic with a = −0.5 (IEEE TASSP 29(6), 1981).
private func cubic(_ x: Double) -> Double {
    let x = abs(x), a = -0.5
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
}

private func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }

// MARK: Nearest

private func nearest(_ source: Pixels, _ width: Int, _ height: Int) -> Pixels {
    // Positions are summed up, not multiplied out: the rounding decides ties as PIL does.
    func positions(_ from: Int, _ to: Int) -> [Int] {
        let step = Double(from) / Double(to)
        var at = step * 0.5
        return (0..<to).map { _ in
            defer { at += step }
            return min(from - 1, Int(at))
        }
    }
    let xs = positions(source.width, width), ys = positions(source.height, height)
    var rgb: [UInt8] = [], alpha: [UInt8]? = source.alpha == nil ? nil : []
    rgb.reserveCapacity(3 * width * height)
    for y in ys {
        for x in xs {
            let i = y * source.width + x
            rgb.append(contentsOf: source.rgb[3 * i..<3 * i + 3])
            alpha?.append(source.alpha![i])
        }
    }
    return Pixels(width: width, height: height, rgb: rgb, alpha: alpha)
}

// MARK: PIL's filters

/// For each target position, the first source position and the weights from there on.
private struct Taps<Weight> {
    var first: [Int] = []
    var weights: [[Weight]] = []
}

/// Bits after the point in PIL's weights: what is left of 32 after 8 bits of pixel and 2 of overshoot.
private let precision = 22

/// Weights of the filter at each target position, scaled to a sum of one and rounded to fixed point.
private func taps(from: Int, to: Int, support: Double, _ filter: (Double) -> Double) -> Taps<Int32> {
    let scale = Double(from) / Double(to), stretch = max(1, scale)
    var taps = Taps<Int32>()
    for i in 0..<to {
        let middle = (Double(i) + 0.5) * scale
        let first = max(0, Int(middle - support * stretch + 0.5)), end = min(from, Int(middle + support * stretch + 0.5))
        let values = (first..<end).map { filter((Double($0) - middle + 0.5) / stretch) }
        let sum = values.reduce(0, +)
        taps.first.append(first)
        taps.weights.append(values.map { value in
            let fixed = (sum == 0 ? value : value / sum) * Double(1 << precision)
            return Int32(fixed < 0 ? fixed - 0.5 : fixed + 0.5)
        })
    }
    return taps
}

/// Along the rows and along the columns, rounded to bytes after each. The order matters where an overshoot is clipped in between:
/// it is that of PIL 13, rows first unless the picture loses more than twice as many rows as columns. PIL up to 12 always takes
/// the rows first.
private func convolved(_ source: Pixels, _ width: Int, _ height: Int, support: Double, _ filter: (Double) -> Double) -> Pixels {
    func withWidth(_ picture: Pixels) -> Pixels {
        guard width != picture.width else { return picture }
        let t = taps(from: picture.width, to: width, support: support, filter)
        return Pixels(width: width, height: picture.height, rgb: alongRows(picture, t, width))
    }
    func withHeight(_ picture: Pixels) -> Pixels {
        guard height != picture.height else { return picture }
        let t = taps(from: picture.height, to: height, support: support, filter)
        return Pixels(width: picture.width, height: height, rgb: alongColumns(picture, t, height))
    }
    let bare = Pixels(width: source.width, height: source.height, rgb: source.rgb)
    let losesRows = height < source.height && 2 * (source.width - width) < source.height - height
    return losesRows ? withWidth(withHeight(bare)) : withHeight(withWidth(bare))
}

private func byte(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: max(0, min(255, sum >> Int32(precision)))) }

private func alongRows(_ picture: Pixels, _ taps: Taps<Int32>, _ width: Int) -> [UInt8] {
    picture.rgb.withUnsafeBufferPointer { source in
        [UInt8](unsafeUninitializedCapacity: 3 * width * picture.height) { target, count in
            for x in 0..<width {
                taps.weights[x].withUnsafeBufferPointer { weights in
                    for y in 0..<picture.height {
                        var from = 3 * (y * picture.width + taps.first[x])
                        var (r, g, b) = (Int32(1) << Int32(precision - 1), Int32(1) << Int32(precision - 1), Int32(1) << Int32(precision - 1))
                        for weight in weights {
                            r &+= Int32(source[from]) &* weight
                            g &+= Int32(source[from &+ 1]) &* weight
                            b &+= Int32(source[from &+ 2]) &* weight
                            from &+= 3
                        }
                        let to = 3 * (y * width + x)
                        target.initializeElement(at: to, to: byte(r))
                        target.initializeElement(at: to + 1, to: byte(g))
                        target.initializeElement(at: to + 2, to: byte(b))
                    }
                }
            }
            count = 3 * width * picture.height
        }
    }
}

private func alongColumns(_ picture: Pixels, _ taps: Taps<Int32>, _ height: Int) -> [UInt8] {
    let stride = 3 * picture.width
    var sums = [Int32](repeating: 0, count: stride)
    return picture.rgb.withUnsafeBufferPointer { source in
        [UInt8](unsafeUninitializedCapacity: stride * height) { target, count in
            sums.withUnsafeMutableBufferPointer { sums in
                for y in 0..<height {
                    sums.update(repeating: Int32(1) << Int32(precision - 1))
                    for (k, weight) in taps.weights[y].enumerated() {
                        let row = source.baseAddress! + (taps.first[y] + k) * stride
                        for i in 0..<stride { sums[i] &+= Int32(row[i]) &* weight }
                    }
                    for i in 0..<stride { target.initializeElement(at: y * stride + i, to: byte(sums[i])) }
                }
            }
            count = stride * height
        }
    }
}

// MARK: OpenCV's area

private func area(_ source: Pixels, _ width: Int, _ height: Int) -> Pixels {
    let isShrinking = width <= source.width && height <= source.height
    let xs = isShrinking ? coverage(from: source.width, to: width) : linear(from: source.width, to: width)
    let ys = isShrinking ? coverage(from: source.height, to: height) : linear(from: source.height, to: height)
    let stride = 3 * width
    var row = [Float](repeating: 0, count: stride), sums = row
    var rgb: [UInt8] = []
    rgb.reserveCapacity(stride * height)
    for y in 0..<height {
        for i in 0..<stride { sums[i] = 0 }
        for (k, weight) in ys.weights[y].enumerated() {
            horizontally(source, row: ys.first[y] + k, xs, &row)
            for i in 0..<stride { sums[i] += row[i] * weight }
        }
        for sum in sums { rgb.append(UInt8(max(0, min(255, sum.rounded(.toNearestOrEven))))) }
    }
    return Pixels(width: width, height: height, rgb: rgb)
}

private func horizontally(_ source: Pixels, row y: Int, _ taps: Taps<Float>, _ row: inout [Float]) {
    source.rgb.withUnsafeBufferPointer { rgb in
        for x in taps.first.indices {
            var from = 3 * (y * source.width + taps.first[x])
            var (r, g, b): (Float, Float, Float) = (0, 0, 0)
            for weight in taps.weights[x] {
                r += Float(rgb[from]) * weight
                g += Float(rgb[from + 1]) * weight
                b += Float(rgb[from + 2]) * weight
                from += 3
            }
            (row[3 * x], row[3 * x + 1], row[3 * x + 2]) = (r, g, b)
        }
    }
}

/// How much of each source position lies under a target position; slivers below 1/1000 are left away.
private func coverage(from: Int, to: Int) -> Taps<Float> {
    let scale = Double(from) / Double(to)
    var taps = Taps<Float>()
    for i in 0..<to {
        let begin = Double(i) * scale, end = begin + scale, size = min(scale, Double(from) - begin)
        let lastWhole = min(Int(end.rounded(.down)), from - 1), firstWhole = min(Int(begin.rounded(.up)), lastWhole)
        var weights: [Float] = []
        let hasLeft = Double(firstWhole) - begin > 1e-3
        if hasLeft { weights.append(Float((Double(firstWhole) - begin) / size)) }
        weights += [Float](repeating: Float(1 / size), count: lastWhole - firstWhole)
        if end - Double(lastWhole) > 1e-3 { weights.append(Float(min(min(end - Double(lastWhole), 1), size) / size)) }
        taps.first.append(firstWhole - (hasLeft ? 1 : 0))
        taps.weights.append(weights)
    }
    return taps
}

/// Two neighbours, the second counting only where the target pixel reaches over its border.
private func linear(from: Int, to: Int) -> Taps<Float> {
    let scale = Double(from) / Double(to)
    var taps = Taps<Float>()
    for i in 0..<to {
        let first = min(from - 1, Int((Double(i) * scale).rounded(.down)))
        let reach = Double(i + 1) - Double(first + 1) / scale
        let fraction = Float(reach <= 0 ? 0 : reach - reach.rounded(.down))
        taps.first.append(first)
        taps.weights.append(first + 1 < from ? [1 - fraction, fraction] : [1])
    }
    return taps
}
