#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Imaging

/// How much a picture looks like `PopsicleStyle`: 0 not at all, 1 wholly.
///
/// score = 0.75 · ground + 0.25 · ink. *Ground*: how near the picture's border is to the style's sheet, yellow above to coral
/// below. *Ink*: how much of the inner picture has the line's colour, 1 from a twelfth of it on. The ground counts more: it is
/// most of what one sees, and it stays measurable where a small model blurs thin lines.
public enum StyleMeasure {
    /// From here on a picture passes for one in the style. Studio pictures and drawn ones lie far on either side.
    public static let threshold: Float = 0.5

    private static let groundWeight: Float = 0.75
    /// Distances in sRGB (0...1 a component) at which likeness has fallen to 1/e.
    private static let groundTolerance: Float = 0.22, inkTolerance: Float = 0.25
    private static let inkShare: Float = 1.0 / 12
    private static let border: Float = 0.08

    public static func score(_ picture: Pixels) -> Float {
        let margin = max(1, Int(Float(min(picture.width, picture.height)) * border))
        var ground: Float = 0, groundCount: Float = 0, ink: Float = 0, inkCount: Float = 0
        for y in 0..<picture.height {
            let isRim = y < margin || y >= picture.height - margin
            let sheet = sheetColour(height: 1 - 2 * (Float(y) + 0.5) / Float(picture.height))
            for x in 0..<picture.width {
                let colour = picture.colour(x, y)
                if isRim || x < margin || x >= picture.width - margin {
                    ground += likeness(colour, sheet, groundTolerance)
                    groundCount += 1
                } else {
                    ink += likeness(colour, inkColour, inkTolerance)
                    inkCount += 1
                }
            }
        }
        let inkScore = min(ink / max(inkCount, 1) / inkShare, 1)
        return groundWeight * ground / max(groundCount, 1) + (1 - groundWeight) * inkScore
    }

    private static let inkColour = encoded(CelPalette.popsicle.ink)
    private static func sheetColour(height: Float) -> Vector { encoded(CelPalette.popsicle.backdrop(height: height)) }

    private static func encoded(_ light: Vector) -> Vector {
        [Float(Gamma.table[Int(light.x * 4096)]), Float(Gamma.table[Int(light.y * 4096)]), Float(Gamma.table[Int(light.z * 4096)])] / 255
    }

    private static func likeness(_ a: Vector, _ b: Vector, _ tolerance: Float) -> Float {
        let d = a - b
        return expf(-d.dot(d) / (tolerance * tolerance))
    }
}

extension Pixels {
    /// sRGB components in 0...1.
    func colour(_ x: Int, _ y: Int) -> SIMD3<Float> {
        let index = (y * width + x) * 3
        return [Float(rgb[index]), Float(rgb[index + 1]), Float(rgb[index + 2])] / 255
    }
}
