// + − × ÷ between tensors (NumPy broadcasting) and with numbers.

extension Tensor {
    /// - Gradient: `dy` to both, summed where an operand was stretched.
    public static func + (a: Tensor, b: Tensor) -> Tensor {
        if let (a, b) = united("+", a, b) { return a + b }
        let (shapeA, shapeB) = (a.shape, b.shape)
        return record("+", Compute.combine(.add, a, b, name: "+"), from: [a, b]) { dy, needs in
            [needs[0] ? dy.summed(to: shapeA) : nil, needs[1] ? dy.summed(to: shapeB) : nil]
        }
    }

    /// - Gradient: `dy` and `−dy`.
    public static func - (a: Tensor, b: Tensor) -> Tensor {
        if let (a, b) = united("-", a, b) { return a - b }
        let (shapeA, shapeB) = (a.shape, b.shape)
        return record("-", Compute.combine(.subtract, a, b, name: "-"), from: [a, b]) { dy, needs in
            [needs[0] ? dy.summed(to: shapeA) : nil, needs[1] ? -dy.summed(to: shapeB) : nil]
        }
    }

    /// - Gradient: `da = dy ⊙ b`, `db = dy ⊙ a`. Keeps the operand that the other's gradient needs.
    public static func * (a: Tensor, b: Tensor) -> Tensor {
        if let (a, b) = united("*", a, b) { return a * b }
        let (shapeA, shapeB) = (a.shape, b.shape)
        let left = b.requiresGradient ? a.detached() : nil, right = a.requiresGradient ? b.detached() : nil
        return record("*", Compute.combine(.multiply, a, b, name: "*"), from: [a, b]) { dy, needs in
            [needs[0] ? (dy * right!).summed(to: shapeA) : nil, needs[1] ? (dy * left!).summed(to: shapeB) : nil]
        }
    }

    /// - Gradient: `da = dy / b`, `db = −da ⊙ y`. Keeps `b`, and `y` when `b` requires gradients.
    public static func / (a: Tensor, b: Tensor) -> Tensor {
        if let (a, b) = united("/", a, b) { return a / b }
        let shapeA = a.shape, divisor = b.detached(), y = Compute.combine(.divide, a, b, name: "/")
        let kept = b.requiresGradient ? y : nil
        return record("/", y, from: [a, b]) { dy, needs in
            let da = dy / divisor
            return [needs[0] ? da.summed(to: shapeA) : nil, needs[1] ? -(da * kept!).summed(to: divisor.shape) : nil]
        }
    }

    public static func + (a: Tensor, b: Float) -> Tensor { a.record("+", Compute.combine(.add, a, b)) { $0 } }
    public static func + (a: Float, b: Tensor) -> Tensor { b + a }
    public static func - (a: Tensor, b: Float) -> Tensor { a + -b }
    public static func - (a: Float, b: Tensor) -> Tensor { -b + a }
    public static func * (a: Tensor, b: Float) -> Tensor { a.record("*", Compute.combine(.multiply, a, b)) { $0 * b } }
    public static func * (a: Float, b: Tensor) -> Tensor { b * a }
    public static func / (a: Tensor, b: Float) -> Tensor { a.record("/", Compute.combine(.divide, a, b)) { $0 / b } }
    public static func / (a: Float, b: Tensor) -> Tensor { Tensor.full(a, [], on: b.device) / b }

    public static prefix func - (a: Tensor) -> Tensor { a.record("-", Compute.apply(.negate, a)) { -$0 } }
}
