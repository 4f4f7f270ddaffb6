import CCompute
import Glibc

extension Compute {
    /// Elements that one piece of an elementwise loop covers: enough to outweigh handing it to a thread.
    static let grain = 1 << 14

    /// A new tensor of `x`'s shape, `f` of each element.
    @inline(__always)
    static func map(_ x: Tensor, _ f: (Float) -> Float) -> Tensor {
        let y = Tensor(uninitialized: x.shape)
        let source = x.floats, target = y.floats
        Parallel.run(x.count, grain: grain) { range in
            for i in range { target[i] = f(source[i]) }
        }
        return y
    }

    /// A new tensor, `f` of each pair of elements; both have the same number of elements.
    @inline(__always)
    static func map(_ x: Tensor, _ y: Tensor, _ f: (Float, Float) -> Float) -> Tensor {
        let z = Tensor(uninitialized: x.shape)
        let a = x.floats, b = y.floats, target = z.floats
        Parallel.run(x.count, grain: grain) { range in
            for i in range { target[i] = f(a[i], b[i]) }
        }
        return z
    }

    /// `target += source`.
    static func add(_ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int) {
        Parallel.run(count, grain: grain) { range in
            for i in range { target[i] += source[i] }
        }
    }

    // MARK: Types

    /// Copies `count` elements from one stored type to another, rounding to nearest even.
    static func convert(_ source: UnsafeRawPointer, _ from: DType, to target: UnsafeMutableRawPointer, _ to: DType, count: Int) {
        switch (from, to) {
        case (.float32, .float32), (.float16, .float16), (.bfloat16, .bfloat16):
            target.copyMemory(from: source, byteCount: count * from.byteSize)
        case (_, .float32):
            widen(source, from, to: target.assumingMemoryBound(to: Float.self), count: count)
        case (.float32, _):
            narrow(source.assumingMemoryBound(to: Float.self), to: target, to, count: count)
        case (.float16, .bfloat16), (.bfloat16, .float16):
            let wide = Tensor(uninitialized: [count])
            widen(source, from, to: wide.floats, count: count)
            narrow(wide.floats, to: target, to, count: count)
        }
    }

    private static func widen(_ source: UnsafeRawPointer, _ type: DType, to target: UnsafeMutablePointer<Float>, count: Int) {
        let bits = source.assumingMemoryBound(to: UInt16.self)
        Parallel.run(count, grain: grain) { range in
            if type == .float16 {
                for i in range { target[i] = Float(Float16(bitPattern: bits[i])) }
            } else {
                for i in range { target[i] = Float(bitPattern: UInt32(bits[i]) << 16) }
            }
        }
    }

    private static func narrow(_ source: UnsafePointer<Float>, to target: UnsafeMutableRawPointer, _ type: DType, count: Int) {
        let bits = target.assumingMemoryBound(to: UInt16.self)
        Parallel.run(count, grain: grain) { range in
            if type == .float16 {
                for i in range { bits[i] = Float16(source[i]).bitPattern }
            } else {
                for i in range { bits[i] = bfloat16(source[i]) }
            }
        }
    }

    /// The upper half of `x`, rounded to nearest even; a NaN stays one.
    private static func bfloat16(_ x: Float) -> UInt16 {
        let bits = x.bitPattern
        if x.isNaN { return UInt16(bits >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }
}
