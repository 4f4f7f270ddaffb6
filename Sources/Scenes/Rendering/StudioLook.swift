#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A product photographer's studio: seamless backdrop, key light, fill light, soft boxes that shine surfaces reflect.
struct StudioLook: Look {
    let margin: Float = 0
    private let body: Vector
    private let material: Vocabulary.Material
    private let background: Backdrop
    private let rig: Lights

    init(_ scene: Scene) {
        body = linear(scene.colour.components)
        material = scene.material
        background = Backdrop(scene.background)
        rig = Lights(scene.lighting, camera: Camera(scene))
    }

    // MARK: Surfaces

    func surface<S: Solid>(_ hit: Hit, ray: Vector, _ solid: S) -> Vector {
        let occlusion = ambientOcclusion(hit, solid)
        let shadow = rig.shadow(from: hit.point + hit.normal * 0.01, solid)
        switch hit.part {
        case .body:
            return shade(hit, ray: ray, base: body, material: material, occlusion, shadow, solid)
        case .accent:
            return shade(hit, ray: ray, base: body * 0.42, material: material, occlusion, shadow, solid)
        case .shade:
            return shade(hit, ray: ray, base: body * 0.16 + 0.006, material: .matte, occlusion, shadow, solid)
        case .steel:
            return shade(hit, ray: ray, base: [0.50, 0.53, 0.58], material: .metallic, occlusion, shadow, solid)
        case .lamp:
            return [0.80, 0.95, 0.85]
        }
    }

    private func shade<S: Solid>(
        _ hit: Hit, ray: Vector, base: Vector, material: Vocabulary.Material, _ occlusion: Float, _ shadow: Float, _ solid: S
    ) -> Vector {
        let n = hit.normal
        let facing = max(-n.dot(ray), 0)
        let fresnel = powf(1 - facing, 5)
        let mirror = ray.reflected(about: n)
        let diffuse = base * rig.diffuse(n, occlusion: occlusion, shadow: shadow)
        // On a flat face a highlight is no spot: it would bleach the whole face.
        let spread: Float = solid.isFaceted ? 0.4 : 1
        let rim = Vector(repeating: rig.rim * powf(1 - facing, 3) * occlusion)
        switch material {
        case .matte:
            return diffuse + rim * mix(base, [1, 1, 1], 0.25)
        case .glossy:
            let gloss = (0.035 + 0.40 * fresnel) * occlusion
            let highlight = rig.highlight(n, ray, sharpness: 70) * 0.75 * shadow * spread
            return diffuse + rig.environment(mirror) * gloss + highlight + rim * mix(base, [1, 1, 1], 0.35)
        case .metallic:
            let tint = mix(base, [1, 1, 1], fresnel * 0.6)
            let sheen = rig.highlight(n, ray, sharpness: 28) * 1.1 * shadow
            let polish = rig.environment(mirror) * (0.35 + 0.65 * occlusion)
            let light = diffuse * 0.42 + tint * (polish * 0.95 + 0.05 + sheen) + rim * base
            // A metal's reflection keeps its colour: brightness beyond white is mostly taken back evenly.
            return light / max(1, mix(1, light.largest, 0.85))
        case .glass:
            let through = transmitted(hit, ray: ray, base: base, solid)
            let highlight = rig.highlight(n, ray, sharpness: 110) * 1.1 * spread
            return through + rig.environment(mirror) * (0.02 + 0.60 * fresnel) + highlight + rim * base
        }
    }

    /// Light that crosses the body along the refracted ray, coloured by the length of its way (Beer and Lambert's law),
    /// with a glow of the body's own so that glass stays readable on a dark ground.
    private func transmitted<S: Solid>(_ hit: Hit, ray: Vector, base: Vector, _ solid: S) -> Vector {
        let ratio: Float = 1 / 1.35
        let cosine = -hit.normal.dot(ray)
        let refracted = (ray * ratio + hit.normal * (ratio * cosine - (1 - ratio * ratio * (1 - cosine * cosine)).squareRoot())).normalized
        var depth: Float = 0.06
        for _ in 0..<10 {
            let inside = -solid.distance(hit.point + refracted * depth)
            if inside < 0.01 { break }
            depth += inside
        }
        let tint = mix([1, 1, 1], base, 0.96)
        let thickness = min(depth, 1.6) * 0.70 + 0.50
        let absorbed: Vector = [powf(tint.x, thickness), powf(tint.y, thickness), powf(tint.z, thickness)]
        let behind = background.ground * 0.75 + 0.16
        let glow = base * (0.30 + 0.22 * rig.level(refracted))
        return absorbed * behind * 0.62 + glow
    }

    /// Samples along the normal: how much nearer the surface is than it would be in the open.
    private func ambientOcclusion<S: Solid>(_ hit: Hit, _ solid: S) -> Float {
        var missing: Float = 0, weight: Float = 1
        for step in 1...4 {
            let way = 0.07 * Float(step)
            let ground = hit.point.y + hit.normal.y * way - solid.floor
            missing += (way - min(solid.distance(hit.point + hit.normal * way), max(ground, 0))) * weight
            weight *= 0.7
        }
        return clamp(1 - 1.9 * missing, 0.25, 1)
    }

    // MARK: Backdrop

    func surroundings<S: Solid>(origin: Vector, ray: Vector, nearest: Float, height: Float, _ solid: S) -> Vector {
        let light = background.light(height: height)
        guard ray.y < -0.01 else { return light }
        let point = origin + ray * ((solid.floor - origin.y) / ray.y)
        let away = length2(point.x, point.z)
        let fade = 1 - smoothstep(0.9, 2.3, away)
        guard fade > 0 else { return light }
        let shadow = mix(1, rig.shadow(from: point, solid), rig.shadowDepth * fade)
        let gap = max(solid.distance(point), 0)
        let contact = 1 - 0.42 * fade * expf(-gap * 6.5)
        return light * (shadow * contact)
    }
}

/// What stands behind the object and what it stands on: one seamless sheet.
private struct Backdrop {
    private let top: Vector, bottom: Vector
    /// The ground's own light, as seen through glass.
    let ground: Vector

    init(_ background: Vocabulary.Background) {
        let (top, bottom): (Vector, Vector) = switch background {
        case .white: ([1, 1, 1], [1, 1, 1])
        case .grey: ([0.80, 0.81, 0.82], [0.80, 0.81, 0.82])
        case .dark: ([0.10, 0.11, 0.14], [0.15, 0.16, 0.19])
        case .gradient: ([0.60, 0.74, 0.95], [0.93, 0.92, 0.98])
        }
        (self.top, self.bottom) = (linear(top), linear(bottom))
        ground = linear(bottom)
    }

    @inline(__always) func light(height: Float) -> Vector { mix(bottom, top, smoothstep(-0.9, 0.9, height)) }
}

/// Key, fill and surroundings of one kind of lighting.
private struct Lights {
    private let key: Vector, fill: Vector
    private let keyStrength: Float, fillStrength: Float, ambient: Float
    /// Penumbra: larger is harder.
    private let hardness: Float
    private let reflections: Float
    let rim: Float
    let shadowDepth: Float

    init(_ lighting: Vocabulary.Lighting, camera: Camera) {
        switch lighting {
        case .studio:
            key = camera.oriented([-0.55, 0.90, 0.62])
            fill = camera.oriented([0.85, 0.25, 0.50])
            (keyStrength, fillStrength, ambient) = (0.80, 0.20, 0.34)
            (hardness, reflections, rim, shadowDepth) = (7, 1.0, 0.03, 0.55)
        case .soft:
            key = camera.oriented([-0.20, 1.00, 0.45])
            fill = camera.oriented([0.60, 0.35, 0.70])
            (keyStrength, fillStrength, ambient) = (0.38, 0.12, 0.64)
            (hardness, reflections, rim, shadowDepth) = (3, 0.8, 0.0, 0.38)
        case .dramatic:
            key = camera.oriented([0.85, 0.80, 0.62])
            fill = camera.oriented([-0.90, 0.35, -0.25])
            (keyStrength, fillStrength, ambient) = (1.02, 0.16, 0.16)
            (hardness, reflections, rim, shadowDepth) = (9, 0.8, 0.22, 0.72)
        }
    }

    /// Light on a surface that scatters evenly.
    @inline(__always) func diffuse(_ n: Vector, occlusion: Float, shadow: Float) -> Float {
        let sky = ambient * (0.72 + 0.28 * n.y) * occlusion
        return sky + keyStrength * max(n.dot(key), 0) * shadow + fillStrength * max(n.dot(fill), 0) * occlusion
    }

    /// Blinn's highlight of the key light.
    @inline(__always) func highlight(_ n: Vector, _ ray: Vector, sharpness: Float) -> Float {
        keyStrength * powf(max(n.dot((key - ray).normalized), 0), sharpness)
    }

    /// How bright the studio is in a direction: floor, walls, ceiling and two soft boxes.
    @inline(__always) func environment(_ d: Vector) -> Float { level(d) * reflections }

    @inline(__always) func level(_ d: Vector) -> Float {
        let walls = mix(0.30, 0.95, smoothstep(-0.55, 0.75, d.y))
        let keyBox = smoothstep(0.72, 0.93, d.dot(key)) * keyStrength * 1.1
        let fillBox = smoothstep(0.80, 0.96, d.dot(fill)) * (0.25 + fillStrength)
        return walls * (0.65 + 0.5 * ambient) + keyBox + fillBox
    }

    /// 1 in the open, 0 in the umbra, a soft edge between: the nearest miss of the ray towards the key light.
    /// Source: Quilez' improved penumbra, after Aaltonen (GDC 2018, "Claybook").
    func shadow<S: Solid>(from point: Vector, _ solid: S) -> Float {
        let middle = -point.dot(key)
        let gap = point.dot(point) - middle * middle
        let reach = solid.radius + max(middle, 0) / hardness
        guard gap < reach * reach, middle + reach > 0 else { return 1 }
        var result: Float = 1, previous: Float = 1e10
        var t: Float = 0.03
        let end = middle + reach
        for _ in 0..<20 where t < end {
            let d = solid.distance(point + key * t)
            if d < 0.001 { return 0 }
            let y = d * d / (2 * previous)
            let side = max(d * d - y * y, 0).squareRoot()
            result = min(result, hardness * side / max(t - y, 0.001))
            previous = d
            t += clamp(d, 0.03, 0.25)
        }
        return result * result * (3 - 2 * result)
    }
}
