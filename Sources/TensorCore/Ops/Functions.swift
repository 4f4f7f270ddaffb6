import CCompute

// Functions of one element at a time, each with its derivative.

extension Tensor {
    /// - Gradient: `dy ⊙ y`. Keeps `y`.
    public func exp() -> Tensor { keepingOutput("exp", CC_EXP) }

    /// Natural logarithm.
    /// - Gradient: `dy / x`. Keeps `x`.
    public func log() -> Tensor { keepingInput("log", CC_LOG) }

    /// - Gradient: `dy / 2y`. Keeps `y`.
    public func sqrt() -> Tensor { keepingOutput("sqrt", CC_SQRT) }

    /// - Gradient: `2x dy`. Keeps `x`.
    public func square() -> Tensor { keepingInput("square", CC_SQUARE) }

    /// - Gradient: `dy sign(x)`, 0 at 0. Keeps `x`.
    public func absolute() -> Tensor { keepingInput("absolute", CC_ABS) }

    /// `1 / (1 + e^−x)`.
    /// - Gradient: `dy y (1 − y)`. Keeps `y`.
    public func sigmoid() -> Tensor { keepingOutput("sigmoid", CC_SIGMOID) }

    /// - Gradient: `dy (1 − y²)`. Keeps `y`.
    public func tanh() -> Tensor { keepingOutput("tanh", CC_TANH) }

    /// `x σ(x)`.
    /// - Gradient: `dy σ (1 + x (1 − σ))`. Keeps `x`.
    public func silu() -> Tensor { keepingInput("silu", CC_SILU) }

    /// `max(x, 0)`.
    /// - Gradient: `dy` where `x > 0`. Keeps `x`.
    public func relu() -> Tensor { keepingInput("relu", CC_RELU) }

    /// Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    /// - Gradient: `dy g′(x)`. Keeps `x`.
    public func gelu(_ kind: GELU = .exact) -> Tensor {
        switch kind {
        case .exact: keepingInput("gelu", CC_GELU)
        case .tanh: keepingInput("gelu", CC_GELU_TANH)
        case .quick: keepingInput("gelu", CC_GELU_QUICK)
        }
    }

    /// Each element moved into `lo...hi`.
    /// - Gradient: `dy` where the element was inside, bounds included. Keeps `x`.
    public func clamped(_ lo: Float, _ hi: Float) -> Tensor {
        let x = detached(), y = Tensor(uninitialized: shape)
        cc_clamp(count, floats, lo, hi, y.floats)
        return record("clamped", y) { dy in
            let dx = Tensor(uninitialized: dy.shape)
            cc_clamp_backward(dy.count, x.floats, lo, hi, dy.floats, dx.floats)
            return dx
        }
    }

    private func keepingInput(_ name: StaticString, _ f: cc_function) -> Tensor {
        let x = detached()
        return record(name, Compute.apply(f, self)) { dy in Compute.applyBackward(f, input: x, dy) }
    }

    private func keepingOutput(_ name: StaticString, _ f: cc_function) -> Tensor {
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
        let x = detached(), y = Tensor(uninitialized: shape.dropLast() + [width])
        cc_geglu(rows, width, floats, y.floats)
        return record("geglu", y) { dy in
            let dx = Tensor(uninitialized: x.shape)
            cc_geglu_backward(rows, width, x.floats, dy.floats, dx.floats)
            return dx
        }
    }
}
