import CCUDA
import TensorCore

extension CUDADevice {
    public func convert(_ n: Int, _ x: Elements, _ y: Elements) { ccuda_convert(context, n, x.address, x.type.code, y.address, y.type.code) }

    public func apply(_ f: UnaryFunction, _ n: Int, _ x: Elements, _ y: Elements) {
        var loans = Loans(self)
        ccuda_apply(context, y.type.code, f.rawValue, n, loans.operand(x, n, as: y.type), y.address)
    }

    public func applyBackward(_ f: UnaryFunction, _ n: Int, x: Elements?, y: Elements?, dy: Elements, dx: Elements) {
        var loans = Loans(self)
        let (x, y, dy) = (loans.operand(x, n, as: dx.type), loans.operand(y, n, as: dx.type), loans.operand(dy, n, as: dx.type))
        ccuda_apply_backward(context, dx.type.code, f.rawValue, n, x, y, dy, dx.address)
    }

    public func clamp(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, _ y: Elements) {
        var loans = Loans(self)
        ccuda_clamp(context, y.type.code, n, loans.operand(x, n, as: y.type), low, high, y.address)
    }

    public func clampBackward(_ n: Int, _ x: Elements, _ low: Float, _ high: Float, dy: Elements, dx: Elements) {
        var loans = Loans(self)
        let (x, dy) = (loans.operand(x, n, as: dx.type), loans.operand(dy, n, as: dx.type))
        ccuda_clamp_backward(context, dx.type.code, n, x, low, high, dy, dx.address)
    }

    public func combine(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ b: Elements, _ y: Elements) {
        var loans = Loans(self)
        let (a, b) = (loans.operand(a, n, as: y.type), loans.operand(b, n, as: y.type))
        ccuda_combine(context, y.type.code, op.rawValue, n, a, b, y.address)
    }

    public func combineScalar(_ op: BinaryOperator, _ n: Int, _ a: Elements, _ s: Float, _ y: Elements) {
        var loans = Loans(self)
        ccuda_combine_scalar(context, y.type.code, op.rawValue, n, loans.operand(a, n, as: y.type), s, nil, y.address)
    }

    public func combineBroadcast(
        _ op: BinaryOperator, _ shape: [Int], _ a: Elements, _ aStrides: [Int], _ b: Elements, _ bStrides: [Int], _ y: Elements
    ) {
        if shape.contains(0) { return }
        var loans = Loans(self)
        let a = loans.operand(a, extent(shape, aStrides), as: y.type), b = loans.operand(b, extent(shape, bStrides), as: y.type)
        ccuda_combine_broadcast(context, y.type.code, op.rawValue, Int32(shape.count), shape, a, aStrides, b, bStrides, y.address)
    }

    public func broadcast(_ shape: [Int], _ x: Elements, _ strides: [Int], _ y: Elements) {
        var loans = Loans(self)
        let one = Elements(loans.block(y.type.byteSize), y.type)
        fill(1, 1, one)
        combineBroadcast(.multiply, shape, x, strides, one, shape.map { _ in 0 }, y)
    }

    /// How many elements an operand has that is stepped through like this.
    private func extent(_ shape: [Int], _ strides: [Int]) -> Int { zip(shape, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 } }

    public func axpy(_ n: Int, _ alpha: Float, _ x: Elements, _ y: Elements) {
        isWritten(y)
        var loans = Loans(self)
        let isTaken = x.type == y.type || (x.type == .bfloat16 && y.type == .float32), type = isTaken ? x.type : y.type
        ccuda_axpy(context, n, alpha, loans.operand(x, n, as: type), type.code, y.address, y.type.code)
    }

    public func fill(_ n: Int, _ value: Float, _ y: Elements) {
        if value.bitPattern == 0 { return ccuda_set_bytes(context, y.address, 0, n * y.type.byteSize) }
        ccuda_fill(context, y.type.code, n, value, nil, y.address)
    }

    public func geglu(_ rows: Int, _ n: Int, _ x: Elements, _ y: Elements) { ccuda_geglu(context, y.type.code, rows, n, x.address, nil, y.address) }

    public func gegluBackward(_ rows: Int, _ n: Int, _ x: Elements, dy: Elements, dx: Elements) {
        var loans = Loans(self)
        ccuda_geglu_backward(context, dx.type.code, rows, n, x.address, nil, loans.operand(dy, rows * n, as: dx.type), dx.address)
    }
}
