#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A point, a direction or a linear colour. x right, y up, z towards the viewer of an unrotated object.
typealias Vector = SIMD3<Float>

extension SIMD3<Float> {
    @inline(__always) func dot(_ other: Vector) -> Float { x * other.x + y * other.y + z * other.z }
    @inline(__always) var length: Float { dot(self).squareRoot() }
    @inline(__always) var normalized: Vector { self * (1 / length) }
    @inline(__always) var absolute: Vector { replacing(with: -self, where: self .< 0) }
    @inline(__always) var largest: Float { Swift.max(x, Swift.max(y, z)) }
    @inline(__always) func reflected(about normal: Vector) -> Vector { self - normal * (2 * dot(normal)) }

    @inline(__always) func cross(_ o: Vector) -> Vector {
        [y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x]
    }
}

@inline(__always) func length2(_ x: Float, _ y: Float) -> Float { (x * x + y * y).squareRoot() }
@inline(__always) func clamp(_ x: Float, _ low: Float, _ high: Float) -> Float { min(max(x, low), high) }
@inline(__always) func mix(_ a: Vector, _ b: Vector, _ t: Float) -> Vector { a + (b - a) * t }
@inline(__always) func mix(_ a: Float, _ b: Float, _ t: Float) -> Float { a + (b - a) * t }

/// 0 below `low`, 1 above `high`, a smooth step between.
@inline(__always) func smoothstep(_ low: Float, _ high: Float, _ x: Float) -> Float {
    let t = clamp((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
}

/// A union whose seam is rounded over a width of `k`.
@inline(__always) func smoothUnion(_ a: Float, _ b: Float, _ k: Float) -> Float {
    let h = max(k - abs(a - b), 0) / k
    return min(a, b) - h * h * k * 0.25
}

/// An intersection whose edge is rounded over a width of `k`.
@inline(__always) func smoothIntersection(_ a: Float, _ b: Float, _ k: Float) -> Float { -smoothUnion(-a, -b, k) }

/// sRGB in 0...1 to linear light.
func linear(_ colour: Vector) -> Vector {
    func channel(_ c: Float) -> Float { c <= 0.04045 ? c / 12.92 : powf((c + 0.055) / 1.055, 2.4) }
    return [channel(colour.x), channel(colour.y), channel(colour.z)]
}

/// Linear light in 0...1 to sRGB bytes, from a table with an entry for every 1/4096.
enum Gamma {
    static let table: [UInt8] = (0...4096).map { index in
        let c = Float(index) / 4096
        let encoded = c <= 0.0031308 ? c * 12.92 : 1.055 * powf(c, 1 / 2.4) - 0.055
        return UInt8(clamp(encoded * 255 + 0.5, 0, 255))
    }
}
