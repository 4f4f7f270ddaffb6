#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A shape as a signed-distance field: negative inside, positive outside, never more than the true distance.
///
/// Objects stand around the origin, inside the sphere of `radius`, with their foot at `floor`.
/// Formulas: Hart, "Sphere tracing", The Visual Computer 12 (1996); the solids' own are elementary geometry.
protocol Solid {
    var radius: Float { get }
    var floor: Float { get }
    func distance(_ p: Vector) -> Float
    func part(_ p: Vector) -> Part
    /// Whether the surface is mostly flat faces, on which a highlight would fill a whole face.
    var isFaceted: Bool { get }
}

/// What the surface is made of at a point: most of it is the body in the scene's colour.
enum Part { case body, accent, shade, steel, lamp }

extension Solid {
    @inline(__always) func part(_: Vector) -> Part { .body }
    var isFaceted: Bool { false }
}

// MARK: - Building blocks

/// A box of half sides `half` whose edges are rounded by `r` (within the half sides).
@inline(__always) private func box(_ p: Vector, _ half: Vector, _ r: Float) -> Float {
    let q = p.absolute - (half - r)
    let outside = q.replacing(with: 0, where: q .< 0).length
    return outside + min(q.largest, 0) - r
}

/// An upright round disc of radius `radius` and half height `half`, edges rounded by `r`.
@inline(__always) private func disc(_ p: Vector, _ radius: Float, _ half: Float, _ r: Float) -> Float {
    let x = length2(p.x, p.z) - radius + r, y = abs(p.y) - half + r
    return min(max(x, y), 0) + length2(max(x, 0), max(y, 0)) - r
}

/// A flat figure of distance `flat` drawn out along z to half depth `half`, edges rounded by `r`.
@inline(__always) private func extruded(_ flat: Float, _ z: Float, _ half: Float, _ r: Float) -> Float {
    let x = flat + r, y = abs(z) - half + r
    return min(max(x, y), 0) + length2(max(x, 0), max(y, 0)) - r
}

@inline(__always) private func box2(_ x: Float, _ y: Float, _ hx: Float, _ hy: Float) -> Float {
    let qx = abs(x) - hx, qy = abs(y) - hy
    return min(max(qx, qy), 0) + length2(max(qx, 0), max(qy, 0))
}

// MARK: - Elementary solids

struct Sphere: Solid {
    let radius: Float = 0.82, floor: Float = -0.82
    @inline(__always) func distance(_ p: Vector) -> Float { p.length - 0.82 }
}

struct Cube: Solid {
    let radius: Float = 1.06, floor: Float = -0.63
    let isFaceted = true
    @inline(__always) func distance(_ p: Vector) -> Float { box(p, [0.63, 0.63, 0.63], 0.08) }
}

struct Cylinder: Solid {
    let radius: Float = 0.96, floor: Float = -0.74
    @inline(__always) func distance(_ p: Vector) -> Float { disc(p, 0.58, 0.74, 0.06) }
}

/// Apex at the top, foot of radius 0.78 at the bottom, apex and rim rounded.
struct Cone: Solid {
    let radius: Float = 1.04, floor: Float = -0.72

    @inline(__always) func distance(_ p: Vector) -> Float {
        let r = (p.x * p.x + p.z * p.z + 0.004).squareRoot()
        let mantle = r * 0.8992 + (p.y - 0.88) * 0.4376    // unit normal of a slope of 1.60 on 0.78
        return smoothIntersection(mantle, -0.72 - p.y, 0.10)
    }
}

/// Standing ring, its hole towards the viewer.
struct Torus: Solid {
    let radius: Float = 0.88, floor: Float = -0.87
    @inline(__always) func distance(_ p: Vector) -> Float {
        length2(length2(p.x, p.y) - 0.60, p.z) - 0.27
    }
}

/// Four sides over a square, edges rounded.
struct Pyramid: Solid {
    let radius: Float = 1.22, floor: Float = -0.62
    let isFaceted = true

    @inline(__always) func distance(_ p: Vector) -> Float {
        let q = smoothIntersection(abs(p.x), abs(p.z), 0.08)
        let side = q * 0.8742 + (p.y - 0.80) * 0.4856      // unit normal of a slope of 1.44 on 0.80
        return smoothIntersection(side, -0.62 - p.y, 0.08)
    }
}

// MARK: - Things

/// A rack of three drawers with grooves between them, a dark slot and two lamps on each front.
struct Server: Solid {
    let radius: Float = 1.10, floor: Float = -0.80
    let isFaceted = true
    private let pitch: Float = 0.52

    @inline(__always) private func drawer(_ p: Vector) -> Vector {
        let row = clamp((p.y / pitch).rounded(), -1, 1)
        return [p.x, p.y - row * pitch, p.z]
    }

    @inline(__always) func distance(_ p: Vector) -> Float {
        let q = drawer(p)
        let shell = box(q, [0.60, 0.225, 0.50], 0.05)
        let core = box(p, [0.53, 0.74, 0.43], 0.02)
        let feet = box(p - [0, -0.76, 0], [0.50, 0.04, 0.40], 0.01)
        return min(shell, min(core, feet))
    }

    @inline(__always) func part(_ p: Vector) -> Part {
        let q = drawer(p)
        if abs(q.y) > 0.228 || (abs(p.x) < 0.54 && abs(p.z) < 0.44) && abs(q.y) > 0.2265 { return .shade }
        guard p.z > 0.49 else { return .body }
        if box2(q.x + 0.17, q.y, 0.26, 0.02) < 0.05 { return .shade }
        return length2(q.x - 0.24, q.y) < 0.062 || length2(q.x - 0.42, q.y) < 0.062 ? .lamp : .body
    }
}

/// Three thick discs on a narrower, darker spindle.
struct Database: Solid {
    let radius: Float = 1.06, floor: Float = -0.76
    private let pitch: Float = 0.52

    @inline(__always) func distance(_ p: Vector) -> Float {
        let row = clamp((p.y / pitch).rounded(), -1, 1)
        let plate = disc(p - [0, row * pitch, 0], 0.74, 0.215, 0.075)
        return min(plate, disc(p, 0.62, 0.70, 0.02))
    }

    @inline(__always) func part(_ p: Vector) -> Part { length2(p.x, p.z) < 0.635 && abs(p.y) < 0.6 ? .shade : .body }
}

/// Four puffs flattened at the bottom.
struct Cloud: Solid {
    let radius: Float = 1.16, floor: Float = -0.48

    @inline(__always) func distance(_ p: Vector) -> Float {
        var d = (p - [-0.60, -0.14, 0]).length - 0.36
        d = smoothUnion(d, (p - [-0.16, 0.16, 0]).length - 0.50, 0.10)
        d = smoothUnion(d, (p - [0.36, 0.04, 0.02]).length - 0.40, 0.10)
        d = smoothUnion(d, (p - [0.74, -0.18, 0]).length - 0.30, 0.10)
        d = smoothUnion(d, box(p - [0.05, -0.30, 0], [0.82, 0.18, 0.26], 0.17), 0.08)
        return max(d, -0.48 - p.y)
    }
}

/// A heater shield with a raised rim and a ridge down its middle.
struct Shield: Solid {
    let radius: Float = 1.08, floor: Float = -0.94
    let isFaceted = true

    /// Flat outline: two arcs meet at the foot, a gently curved top edge between two ears.
    @inline(__always) private func outline(_ p: Vector) -> Float {
        let x = abs(p.x)
        let arc = length2(x + 0.72, p.y - 0.30) - 1.44
        let side = p.y > 0.30 ? x - 0.72 : arc
        let top = p.y - 0.66 - 0.16 * max(1 - x * 1.9, 0) * max(1 - x * 1.9, 0) - 0.10 * x * x
        return max(side, top) * 0.86
    }

    @inline(__always) func distance(_ p: Vector) -> Float {
        let flat = outline(p)
        let bulge = 0.10 * (1 - 0.7 * abs(p.x))
        let field = extruded(flat + 0.13, p.z, 0.06 + bulge, 0.02)
        let rim = extruded(max(flat, -(flat + 0.17)), p.z, 0.20, 0.05)
        return min(field, rim) * 0.95
    }

    @inline(__always) func part(_ p: Vector) -> Part { outline(p) > -0.125 ? .body : p.x > 0 && p.z > 0 ? .accent : .body }
}

/// A padlock: body, steel shackle, dark keyhole.
struct Lock: Solid {
    let radius: Float = 1.10, floor: Float = -0.86

    @inline(__always) private func keyhole(_ p: Vector) -> Float {
        let y = p.y + 0.20
        return min(length2(p.x, y) - 0.135, box2(p.x, y + 0.18, 0.055, 0.15))
    }

    @inline(__always) private func shackle(_ p: Vector) -> Float {
        let y = p.y - 0.40
        let ring = y > 0 ? length2(p.x, y) - 0.41 : abs(abs(p.x) - 0.41)
        return max(length2(ring, p.z) - 0.115, -0.5 - y)
    }

    @inline(__always) func distance(_ p: Vector) -> Float {
        let body = box(p - [0, -0.34, 0], [0.68, 0.52, 0.32], 0.12)
        return min(max(body, -max(keyhole(p), 0.26 - p.z)), shackle(p))
    }

    @inline(__always) func part(_ p: Vector) -> Part {
        if p.z > 0.2 && keyhole(p) < 0.012 { return .shade }
        return p.y > 0.185 || shackle(p) < 0.004 ? .steel : .body
    }
}

/// A cog wheel of eight teeth with a hole, facing the viewer.
struct Gear: Solid {
    let radius: Float = 1.04, floor: Float = -0.94
    let isFaceted = true

    @inline(__always) func distance(_ p: Vector) -> Float {
        let r = length2(p.x, p.y)
        let sector = Float.pi / 4
        let angle = atan2f(p.x, p.y)
        let folded = angle - sector * (angle / sector).rounded()
        let tx = r * sinf(folded), ty = r * cosf(folded)
        // Teeth taper outwards.
        let tooth = max(max(abs(tx) - (0.205 - 0.22 * (ty - 0.72)), ty - 0.95), 0.5 - ty)
        let wheel = min(r - 0.70, tooth)
        let flat = max(wheel, 0.30 - r)
        let body = extruded(flat, p.z, 0.20, 0.05)
        let hub = extruded(max(r - 0.46, 0.30 - r), p.z, 0.27, 0.04)
        return min(body, hub) * 0.95
    }
}
