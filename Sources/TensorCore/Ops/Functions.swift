import Glibc

// Functions of one element at a time, each with its derivative.

extension Tensor {
    /// - Gradient: `dy ⊙ y`. Keeps `y`.
    public func exp() -> Tensor {
        let y = Compute.map(self) { expf($0) }
        return record("exp", y) { $0 * y }
    }

    /// Natural logarithm.
    /// - Gradient: `dy / x`.
    public func log() -> Tensor {
        let x = detached()
        return record("log", Compute.map(self) { logf($0) }) { $0 / x }
    }

    /// - Gradient: `dy / 2y`. Keeps `y`.
    public func sqrt() -> Tensor {
        let y = Compute.map(self) { $0.squareRoot() }
        return record("sqrt", y) { dy in Compute.map(dy, y) { 0.5 * $0 / $1 } }
    }

    /// - Gradient: `2x dy`.
    public func square() -> Tensor {
        let x = detached()
        return record("square", Compute.map(self) { $0 * $0 }) { dy in Compute.map(dy, x) { 2 * $0 * $1 } }
    }

    /// - Gradient: `dy sign(x)`, 0 at 0.
    public func absolute() -> Tensor {
        let x = detached()
        return record("absolute", Compute.map(self) { abs($0) }) { dy in
            Compute.map(dy, x) { $1 > 0 ? $0 : $1 < 0 ? -$0 : 0 }
        }
    }

    /// Each element moved into `lo...hi`.
    /// - Gradient: `dy` where the element was inside, bounds included.
    public func clamped(_ lo: Float, _ hi: Float) -> Tensor {
        let x = detached()
        return record("clamped", Compute.map(self) { min(max($0, lo), hi) }) { dy in
            Compute.map(dy, x) { $1 >= lo && $1 <= hi ? $0 : 0 }
        }
    }

    /// `1 / (1 + e^−x)`.
    /// - Gradient: `dy y (1 − y)`. Keeps `y`.
    public func sigmoid() -> Tensor {
        let y = Compute.map(self) { 1 / (1 + expf(-$0)) }
        return record("sigmoid", y) { dy in Compute.map(dy, y) { $0 * $1 * (1 - $1) } }
    }

    /// - Gradient: `dy (1 − y²)`. Keeps `y`.
    public func tanh() -> Tensor {
        let y = Compute.map(self) { tanhf($0) }
        return record("tanh", y) { dy in Compute.map(dy, y) { $0 * (1 - $1 * $1) } }
    }

    /// `x σ(x)`.
    /// - Gradient: `dy σ (1 + x (1 − σ))`. Keeps `x`.
    public func silu() -> Tensor {
        let x = detached()
        return record("silu", Compute.map(self) { $0 / (1 + expf(-$0)) }) { dy in
            Compute.map(dy, x) { dy, x in
                let s = 1 / (1 + expf(-x))
                return dy * s * (1 + x * (1 - s))
            }
        }
    }

    /// `max(x, 0)`.
    /// - Gradient: `dy` where `x > 0`.
    public func relu() -> Tensor {
        let x = detached()
        return record("relu", Compute.map(self) { max($0, 0) }) { dy in Compute.map(dy, x) { $1 > 0 ? $0 : 0 } }
    }
}

/// The three forms of GELU that models use.
public enum GELU: Sendable {
    /// `x Φ(x)`, by the error function.
    case exact
    /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    case tanh
    /// `x σ(1.702 x)`: CLIP's.
    case quick
}

extension Tensor {
    /// Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    /// - Gradient: `dy g′(x)`. Keeps `x`.
    public func gelu(_ kind: GELU = .exact) -> Tensor {
        let x = detached()
        switch kind {
        case .exact:
            return record("gelu", Compute.map(self) { $0 * normalCDF($0) }) { dy in
                Compute.map(dy, x) { $0 * (normalCDF($1) + $1 * normalPDF($1)) }
            }
        case .tanh:
            return record("gelu", Compute.map(self) { 0.5 * $0 * (1 + tanhf(tanhArgument($0))) }) { dy in
                Compute.map(dy, x) { dy, x in
                    let t = tanhf(tanhArgument(x))
                    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (0.797_884_56 + 0.107_032_226 * x * x))
                }
            }
        case .quick:
            return record("gelu", Compute.map(self) { $0 / (1 + expf(-1.702 * $0)) }) { dy in
                Compute.map(dy, x) { dy, x in
                    let s = 1 / (1 + expf(-1.702 * x))
                    return dy * (s + 1.702 * x * s * (1 - s))
                }
            }
        }
    }

    /// Gated GELU over the last axis: `[..., 2N]` → `[..., N]`, `first ⊙ gelu(second)` (Shazeer 2020, arXiv:2002.05202).
    /// - Gradient: `dy ⊙ gelu(b)` and `dy ⊙ a ⊙ gelu′(b)`. Keeps the input.
    public func geglu() -> Tensor {
        let width = (shape.last ?? 0) / 2
        require(rank > 0 && shape.last! == 2 * width, "geglu: last axis of \(shape) is not even")
        let x = detached()
        let rows = width == 0 ? 0 : count / (2 * width)
        let value = Tensor(uninitialized: shape.dropLast() + [width])
        Compute.geglu(x.floats, to: value.floats, rows: rows, width: width)
        return record("geglu", value) { dy in
            let dx = Tensor(uninitialized: x.shape)
            Compute.gegluBackward(x.floats, dy.floats, to: dx.floats, rows: rows, width: width)
            return dx
        }
    }
}

@inline(__always) private func normalCDF(_ x: Float) -> Float { 0.5 * (1 + erff(x * 0.707_106_78)) }
@inline(__always) private func normalPDF(_ x: Float) -> Float { 0.398_942_28 * expf(-0.5 * x * x) }
/// √(2/π) (x + 0.044715 x³)
@inline(__always) private func tanhArgument(_ x: Float) -> Float { 0.797_884_56 * (x + 0.044_715 * x * x * x) }

extension Compute {
    fileprivate static func geglu(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, rows: Int, width: Int) {
        Parallel.run(rows, grain: max(1, grain / (8 * max(1, width)))) { range in
            for row in range {
                let a = x + row * 2 * width, b = a + width, target = y + row * width
                for i in 0..<width { target[i] = a[i] * b[i] * normalCDF(b[i]) }
            }
        }
    }

    fileprivate static func gegluBackward(_ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, to dx: UnsafeMutablePointer<Float>, rows: Int, width: Int) {
        Parallel.run(rows, grain: max(1, grain / (8 * max(1, width)))) { range in
            for row in range {
                let a = x + row * 2 * width, b = a + width, d = dy + row * width
                let da = dx + row * 2 * width, db = da + width
                for i in 0..<width {
                    let cdf = normalCDF(b[i])
                    da[i] = d[i] * b[i] * cdf
                    db[i] = d[i] * a[i] * (cdf + b[i] * normalPDF(b[i]))
                }
            }
        }
    }
}
