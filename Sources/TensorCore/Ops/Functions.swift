// Functions of one element at a time, each with its derivative.

extension Tensor {
    /// - Gradient: `dy ⊙ y`. Keeps `y`.
    public func exp() -> Tensor { keepingOutput("exp", .exp) }

    /// Natural logarithm.
    /// - Gradient: `dy / x`. Keeps `x`.
    public func log() -> Tensor { keepingInput("log", .log) }

    /// - Gradient: `dy / 2y`. Keeps `y`.
    public func sqrt() -> Tensor { keepingOutput("sqrt", .sqrt) }

    /// - Gradient: `2x dy`. Keeps `x`.
    public func square() -> Tensor { keepingInput("square", .square) }

    /// - Gradient: `dy sign(x)`, 0 at 0. Keeps `x`.
    public func absolute() -> Tensor { keepingInput("absolute", .absolute) }

    /// `1 / (1 + e^−x)`.
    /// - Gradient: `dy y (1 − y)`. Keeps `y`.
    public func sigmoid() -> Tensor { keepingOutput("sigmoid", .sigmoid) }

    /// - Gradient: `dy (1 − y²)`. Keeps `y`.
    public func tanh() -> Tensor { keepingOutput("tanh", .tanh) }

    /// `x σ(x)`.
    /// - Gradient: `dy σ (1 + x (1 − σ))`. Keeps `x`.
    public func silu() -> Tensor { keepingInput("silu", .silu) }

    /// `max(x, 0)`.
    /// - Gradient: `dy` where `x > 0`. Keeps `x`.
    public func relu() -> Tensor { keepingInput("relu", .relu) }

    /// Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    /// - Gradient: `dy g′(x)`. Keeps `x`.
    public func gelu(_ kind: GELU = .exact) -> Tensor {
        switch kind {
        case .exact: keepingInput("gelu", .gelu)
        case .tanh: keepingInput("gelu", .geluTanh)
        case .quick: keepingInput("gelu", .geluQuick)
        }
    }

    /// Each element moved into `lo...hi`.
    /// - Gradient: `dy` where the element was inside, bounds included. Keeps `x`.
    public func clamped(_ lo: Float, _ hi: Float) -> Tensor {
        let x = detached(), y = Tensor(uninitialized: shape, like: self)
        device.clamp(count, elements, lo, hi, y.elements)
        return record("clamped", y) { dy in
            let dx = Tensor(uninitialized: dy.shape, like: dy)
            dy.device.clampBackward(dy.count, x.elements, lo, hi, dy: dy.elements, dx: dx.elements)
            return dx
        }
    }

    private func keepingInput(_ name: StaticString, _ f: UnaryFunction) -> Tensor {
        let x = detached()
        return record(name, Compute.apply(f, self)) { dy in Compute.applyBackward(f, input: x, dy) }
    }

    private func keepingOutput(_ name: StaticString, _ f: UnaryFunction) -> Tensor {
        let y = Compute.apply(f, self)
        return record(name, y) { dy in Compute.applyBackward(f, output: y, dy) }
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
    /// Gated GELU over the last axis: `[..., 2N]` → `[..., N]`, `first ⊙ gelu(second)` (Shazeer 2020, arXiv:2002.05202).
    /// - Gradient: `dy ⊙ gelu(b)` and `dy ⊙ a ⊙ gelu′(b)`. Keeps the input.
    public func geglu() -> Tensor {
        require(rank > 0 && shape.last!.isMultiple(of: 2), "geglu: the last axis of \(shape) is not even")
        let width = shape.last! / 2, rows = shape.dropLast().reduce(1, *)
        let x = detached(), y = Tensor(uninitialized: shape.dropLast() + [width], like: self)
        device.geglu(rows, width, elements, y.elements)
        return record("geglu", y) { dy in
            let dx = Tensor(uninitialized: x.shape, like: x)
            dy.device.gegluBackward(rows, width, x.elements, dy: dy.elements, dx: dx.elements)
            return dx
        }
    }
}
