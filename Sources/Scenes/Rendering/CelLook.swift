/// Flat cel shading in three tones, an ink line around and along edges, on a sheet that runs from one colour to another.
struct CelLook: Look {
    /// Depth at which an edge's neighbouring face is felt, and by how much it must be nearer to be inked.
    private static let creaseDepth: Float = 0.050, creaseGap: Float = 0.014

    let margin: Float
    private let palette: CelPalette
    private let light: Vector, mid: Vector, dark: Vector
    private let key: Vector

    init(_ scene: Scene, palette: CelPalette) {
        let base = linear(scene.colour.components)
        self.palette = palette
        margin = palette.inkWidth
        light = mix(base, [1, 0.95, 0.85], palette.lightening)
        mid = base * 0.92
        dark = mix(base * palette.darkening, palette.ink, 0.22)
        key = Camera(scene).oriented([-0.60, 0.85, 0.55])
    }

    func surface<S: Solid>(_ hit: Hit, ray: Vector, _ solid: S) -> Vector {
        let edge = Self.creaseDepth + solid.distance(hit.point - hit.normal * Self.creaseDepth)
        let groove = Self.creaseDepth - solid.distance(hit.point + hit.normal * Self.creaseDepth)
        if max(edge, groove) > Self.creaseGap && palette.inkWidth > 0 { return palette.ink }
        let facing = hit.normal.dot(key)
        let glint = !solid.isFaceted && hit.normal.dot((key - ray).normalized) > 0.972
        switch hit.part {
        case .body: return glint ? [1, 0.98, 0.94] : tone(facing)
        case .accent: return dark
        case .shade: return palette.ink
        case .steel: return glint ? [1, 1, 1] : facing > 0.2 ? [0.72, 0.74, 0.80] : [0.34, 0.34, 0.42]
        case .lamp: return [1, 0.98, 0.94]
        }
    }

    private func tone(_ facing: Float) -> Vector { facing > 0.58 ? light : facing > 0.08 ? mid : dark }

    func surroundings<S: Solid>(origin: Vector, ray: Vector, nearest: Float, height: Float, _ solid: S) -> Vector {
        if nearest < palette.inkWidth { return palette.ink }
        let light = palette.backdrop(height: height)
        guard ray.y < -0.01 else { return light }
        // The shadow is a flat patch just around the foot.
        let foot = origin + ray * ((solid.floor - origin.y) / ray.y)
        return solid.distance(foot + [0, 0.10, 0]) < 0.16 ? light * palette.shadow : light
    }
}

/// The colours and the line of one drawn style; colours are linear.
struct CelPalette {
    /// Width of the ink line as a tangent from the eye; 0 draws none.
    var inkWidth: Float
    var ink: Vector
    /// The sheet's colours, above and below.
    var top: Vector, bottom: Vector
    /// What the sheet's light is multiplied by in the object's shadow.
    var shadow: Vector
    /// Share of cream in the light tone, and of the colour's own light in the dark one.
    var lightening: Float, darkening: Float

    /// The demonstration's style: a line of about 1/40 of the picture, a warm sheet from yellow to coral.
    static let popsicle = CelPalette(
        inkWidth: 0.0105, ink: linear([0.17, 0.05, 0.22]), top: linear([1.00, 0.84, 0.34]), bottom: linear([1.00, 0.44, 0.38]),
        shadow: [0.78, 0.50, 0.52], lightening: 0.22, darkening: 0.42)

    /// Any line, sheet and tones.
    static func random(using generator: inout some RandomNumberGenerator) -> CelPalette {
        func unit() -> Float { .random(in: 0...1, using: &generator) }
        func colour(_ low: Float, _ high: Float) -> Vector { linear([mix(low, high, unit()), mix(low, high, unit()), mix(low, high, unit())]) }
        let top = colour(0, 1)
        return CelPalette(
            inkWidth: generator.chance(0.3) ? 0 : mix(0.003, 0.013, unit()), ink: colour(0, 0.25),
            top: top, bottom: generator.chance(0.3) ? top : colour(0, 1), shadow: Vector(repeating: mix(0.5, 0.95, unit())),
            lightening: mix(0.05, 0.35, unit()), darkening: mix(0.3, 0.7, unit()))
    }

    /// The sheet at a height in the picture, -1 at the bottom and 1 at the top.
    func backdrop(height: Float) -> Vector { mix(bottom, top, smoothstep(-1, 1, height)) }
}
