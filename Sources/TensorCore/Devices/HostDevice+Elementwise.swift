import CCompute
import Glibc

extension HostDevice {
    public func convert(_ n: Int, _ x: Elements, _ y: Elements) { cc_convert(n, x.address, x.type.code, y.address, y.type.code) }

    public func apply(_ f: UnaryFunction, _ n: Int, _ x: Elements, _ y: Elements) { cc_apply(f.code, n, x.floats, y.floats) }

    public func applyBackward(_ f: UnaryFunction, _ n: Int, x: Elements?, y: Elements?, dy: Elements, dx: Elements) {
        cc_apply_backward(f.code, n, x?.floats, y?.floats, dy.floats, dx.floats)
    }

    public func clamp(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, _ y: Elements) { cc_clamp(n, x.floats, low, high, y.floats) }

    public func clampBackward(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, dy: Elements, dx: Elements) {
        cc_clamp_backward(n, x.floats, low, high, dy.floats, dx.floats)
    }

    public func combine(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ b: Elements, _ y: Elements) {
        cc_combine(op.code, n, a.floats, b.floats, y.floats)
    }

    public func combineScalar(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ s: Float, _ y: Elements) {
        cc_combine_scalar(op.code, n, a.floats, s, y.floats)
    }

    public func combineBroadcast(
        _ op: BinaryOperator, _ shape: [Int], _ a: Elements, _ aStrides: [Int], _ b: Elements, _ bStrides: [Int], _ y: Elements
    ) {
        cc_combine_broadcast(op.code, Int32(shape.count), shape, a.floats, aStrides, b.floats, bStrides, y.floats)
    }

    public func broadcast(_ shape: [Int], _ x: Elements, _ strides: [Int], _ y: Elements) {
        var one: Float = 1
        cc_combine_broadcast(CC_MULTIPLY, Int32(shape.count), shape, x.floats, strides, &one, shape.map { _ in 0 }, y.floats)
    }

    public func axpy(_ n: Int, _ alpha: Float, _ x: Elements, _ y: Elements) { cc_axpy(n, alpha, x.floats, y.floats) }

    public func fill(_ n: Int, _ value: Float, _ y: Elements) {
        if value.bitPattern == 0 {
            memset(y.address, 0, n * y.type.byteSize)
        } else {
            cc_fill(n, value, y.floats)
        }
    }

    public func geglu(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { cc_geglu(rows, n, x.floats, y.floats) }

    public func gegluBackward(_ rows: Int, _ n: Int, _ x: Elements, dy: Elements, dx: Elements) {
        cc_geglu_backward(rows, n, x.floats, dy.floats, dx.floats)
    }
}

extension UnaryFunction {
    fileprivate var code: cc_function {
        switch self {
        case .exp: CC_EXP
        case .log: CC_LOG
        case .sqrt: CC_SQRT
        case .square: CC_SQUARE
        case .absolute: CC_ABS
        case .negate: CC_NEGATE
        case .reciprocal: CC_RECIPROCAL
        case .sigmoid: CC_SIGMOID
        case .tanh: CC_TANH
        case .relu: CC_RELU
        case .silu: CC_SILU
        case .gelu: CC_GELU
        case .geluTanh: CC_GELU_TANH
        case .geluQuick: CC_GELU_QUICK
        case .sin: CC_SIN
        case .cos: CC_COS
        }
    }
}

extension BinaryOperator {
    fileprivate var code: cc_operator {
        switch self {
        case .add: CC_ADD
        case .subtract: CC_SUBTRACT
        case .multiply: CC_MULTIPLY
        case .divide: CC_DIVIDE
        case .maximum: CC_MAXIMUM
        case .minimum: CC_MINIMUM
        }
    }
}
