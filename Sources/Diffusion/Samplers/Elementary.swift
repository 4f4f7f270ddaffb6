#if canImport(Glibc)
import Glibc
#endif

// Elementary functions under names that the tensors' own `exp` and `log` do not shadow.

extension Float {
    static func logarithm(_ x: Float) -> Float { logf(x) }
    static func exponential(_ x: Float) -> Float { expf(x) }
    /// `e^x − 1`.
    static func exponentialMinusOne(_ x: Float) -> Float { expm1f(x) }
}

extension Double {
    static func logarithm(_ x: Double) -> Double { log(x) }
    static func exponential(_ x: Double) -> Double { exp(x) }
    static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
    static func cosine(_ x: Double) -> Double { cos(x) }
}
