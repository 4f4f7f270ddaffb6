// + − × ÷ between tensors (NumPy broadcasting) and with numbers.

extension Tensor {
    /// - Gradient: `dy` to both, summed where an operand was stretched.
    public static func + (a: Tensor, b: Tensor) -> Tensor {
        let (shapeA, shapeB) = (a.shape, b.shape)
        return record("+", Compute.broadcast(a, b, "+", { $0 + $1 }), from: [a, b]) { dy, needs in
            [needs[0] ? dy.summed(to: shapeA) : nil, needs[1] ? dy.summed(to: shapeB) : nil]
        }
    }

    /// - Gradient: `dy` and `−dy`.
    public static func - (a: Tensor, b: Tensor) -> Tensor {
        let (shapeA, shapeB) = (a.shape, b.shape)
        return record("-", Compute.broadcast(a, b, "-", { $0 - $1 }), from: [a, b]) { dy, needs in
            [needs[0] ? dy.summed(to: shapeA) : nil, needs[1] ? -dy.summed(to: shapeB) : nil]
        }
    }

    /// - Gradient: `da = dy ⊙ b`, `db = dy ⊙ a`. Keeps the operand that the other's gradient needs.
    public static func * (a: Tensor, b: Tensor) -> Tensor {
        let (shapeA, shapeB) = (a.shape, b.shape)
        let left = b.requiresGradient ? a.detached() : nil, right = a.requiresGradient ? b.detached() : nil
        return record("*", Compute.broadcast(a, b, "*", { $0 * $1 }), from: [a, b]) { dy, needs in
            [needs[0] ? (dy * right!).summed(to: shapeA) : nil, needs[1] ? (dy * left!).summed(to: shapeB) : nil]
        }
    }

    /// - Gradient: `da = dy / b`, `db = −dy ⊙ a / b²`.
    public static func / (a: Tensor, b: Tensor) -> Tensor {
        let x = a.detached(), y = b.detached()
        return record("/", Compute.broadcast(a, b, "/", { $0 / $1 }), from: [a, b]) { dy, needs in
            [needs[0] ? (dy / y).summed(to: x.shape) : nil,
             needs[1] ? (dy * Compute.broadcast(x, y, "/", { -$0 / ($1 * $1) })).summed(to: y.shape) : nil]
        }
    }

    public static func + (a: Tensor, b: Float) -> Tensor { a.record("+", Compute.map(a) { $0 + b }) { $0 } }
    public static func + (a: Float, b: Tensor) -> Tensor { b + a }
    public static func - (a: Tensor, b: Float) -> Tensor { a + -b }
    public static func - (a: Float, b: Tensor) -> Tensor { b.record("-", Compute.map(b) { a - $0 }) { -$0 } }
    public static func * (a: Tensor, b: Float) -> Tensor { a.record("*", Compute.map(a) { $0 * b }) { $0 * b } }
    public static func * (a: Float, b: Tensor) -> Tensor { b * a }
    public static func / (a: Tensor, b: Float) -> Tensor { a * (1 / b) }
    public static func / (a: Float, b: Tensor) -> Tensor { Tensor.scalar(a) / b }

    public static prefix func - (a: Tensor) -> Tensor { a.record("-", Compute.map(a) { -$0 }) { -$0 } }
}
