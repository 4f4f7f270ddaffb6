/// Flat cel shading in three tones, a thick ink line around and along edges, on a warm sheet from yellow to coral.
///
/// Nothing of it occurs in `StudioLook`: the base model meets none of these backgrounds, lines or tones.
struct PopsicleLook: Look {
    /// Width of the ink line as a tangent from the eye: about 1/40 of the picture.
    private static let inkWidth: Float = 0.0105
    /// Depth at which an edge's neighbouring face is felt, and by how much it must be nearer to be inked.
    private static let creaseDepth: Float = 0.050, creaseGap: Float = 0.014

    let margin: Float = inkWidth
    private let light: Vector, mid: Vector, dark: Vector
    private let key: Vector

    init(_ scene: Scene) {
        let base = linear(scene.colour.components)
        light = mix(base, [1, 0.95, 0.85], 0.22)
        mid = base * 0.92
        dark = mix(base * 0.42, Palette.ink, 0.22)
        key = Camera(scene).oriented([-0.60, 0.85, 0.55])
    }

    /// The style's own colours, linear.
    enum Palette {
        static let ink = linear([0.17, 0.05, 0.22])
        static let top = linear([1.00, 0.84, 0.34])
        static let bottom = linear([1.00, 0.44, 0.38])

        /// The backdrop at a height in the picture, -1 at the bottom and 1 at the top.
        static func backdrop(height: Float) -> Vector { mix(bottom, top, smoothstep(-1, 1, height)) }
    }

    func surface<S: Solid>(_ hit: Hit, ray: Vector, _ solid: S) -> Vector {
        let edge = Self.creaseDepth + solid.distance(hit.point - hit.normal * Self.creaseDepth)
        let groove = Self.creaseDepth - solid.distance(hit.point + hit.normal * Self.creaseDepth)
        if max(edge, groove) > Self.creaseGap { return Palette.ink }
        let facing = hit.normal.dot(key)
        let glint = !solid.isFaceted && hit.normal.dot((key - ray).normalized) > 0.972
        switch hit.part {
        case .body: return glint ? [1, 0.98, 0.94] : tone(facing)
        case .accent: return dark
        case .shade: return Palette.ink
        case .steel: return glint ? [1, 1, 1] : facing > 0.2 ? [0.72, 0.74, 0.80] : [0.34, 0.34, 0.42]
        case .lamp: return [1, 0.98, 0.94]
        }
    }

    private func tone(_ facing: Float) -> Vector { facing > 0.58 ? light : facing > 0.08 ? mid : dark }

    func surroundings<S: Solid>(origin: Vector, ray: Vector, nearest: Float, height: Float, _ solid: S) -> Vector {
        if nearest < Self.inkWidth { return Palette.ink }
        let light = Palette.backdrop(height: height)
        guard ray.y < -0.01 else { return light }
        // The shadow is a flat patch just around the foot.
        let foot = origin + ray * ((solid.floor - origin.y) / ray.y)
        return solid.distance(foot + [0, 0.10, 0]) < 0.16 ? light * [0.78, 0.50, 0.52] : light
    }
}
