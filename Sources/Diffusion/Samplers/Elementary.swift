#if canImport(Glibc)
import Glibc
#endif

// Elementary functions under names that the tensors' own `exp` and `log` do not shadow.

extension Float {
    static func logarithm(_ x: Float) -> Float { logf(x) }
    static func exponential(_ x: Float) -> Float { expf(x) }
}

extension Double {
    static func logarithm(_ x: Double) -> Double { log(x) }
    static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
}
