import CCompute

extension Tensor {
    /// Matrix product: `[..., M, K] · [K, N]`, or `[B..., M, K] · [B..., K, N]` with equal leading sizes → `[..., M, N]`.
    ///
    /// - Parameter isTransposed: `other` is `[..., N, K]`.
    /// - Gradient: `da = dy bᵀ`, `db = aᵀ dy`. Keeps the operand that the other's gradient needs.
    public func matmul(_ other: Tensor, transposed isTransposed: Bool = false) -> Tensor {
        let p = Product(shape, other.shape, isTransposed), (shapeA, shapeB) = (shape, other.shape)
        let a = other.requiresGradient ? detached() : nil, b = requiresGradient ? other.detached() : nil
        let y = Tensor(uninitialized: shape.dropLast() + [p.n])
        cc_gemm_batched(p.batch, false, isTransposed, p.m, p.n, p.k, 1, floats, p.k, p.m * p.k, other.floats, other.shape.last!, p.k * p.n, 0, y.floats, p.n, p.m * p.n)
        return Tensor.record("matmul", y, from: [self, other], flops: 2 * Double(y.count) * Double(shape[shape.count - 1])) { dy, needs in
            var result: [Tensor?] = [nil, nil]
            if needs[0], let b {
                let da = Tensor(uninitialized: shapeA)
                cc_gemm_batched(p.batch, false, !isTransposed, p.m, p.k, p.n, 1, dy.floats, p.n, p.m * p.n, b.floats, shapeB.last!, p.k * p.n, 0, da.floats, p.k, p.m * p.k)
                result[0] = da
            }
            if needs[1], let a {
                let db = Tensor(uninitialized: shapeB)
                if isTransposed {   // [N, K] = dyᵀ a
                    cc_gemm_batched(p.batch, true, false, p.n, p.k, p.m, 1, dy.floats, p.n, p.m * p.n, a.floats, p.k, p.m * p.k, 0, db.floats, p.k, p.k * p.n)
                } else {            // [K, N] = aᵀ dy
                    cc_gemm_batched(p.batch, true, false, p.k, p.n, p.m, 1, a.floats, p.k, p.m * p.k, dy.floats, p.n, p.m * p.n, 0, db.floats, p.n, p.k * p.n)
                }
                result[1] = db
            }
            return result
        }
    }

    /// The sizes of `batch` products of `[m, k]` by `[k, n]`. A single right operand serves all rows of the left in one product.
    private struct Product {
        let batch: Int, m: Int, n: Int, k: Int

        init(_ a: [Int], _ b: [Int], _ isTransposed: Bool) {
            require(a.count >= 2 && b.count >= 2, "matmul: \(a) by \(b); both need two axes or more")
            k = a[a.count - 1]
            n = b[b.count - (isTransposed ? 2 : 1)]
            require(k == b[b.count - (isTransposed ? 1 : 2)] && (b.count == 2 || a.dropLast(2) == b.dropLast(2)),
                    "matmul: \(a) by \(b)\(isTransposed ? " transposed" : "")")
            batch = b.count == 2 ? 1 : b.dropLast(2).reduce(1, *)
            m = b.count == 2 ? a.dropLast().reduce(1, *) : a[a.count - 2]
        }
    }

    /// `y = scale · x Wᵀ + bias + addend`: `[..., in]` → `[..., out]`.
    ///
    /// - Parameters:
    ///   - weight: `[out, in]` of any type; 16-bit weights are widened as they are read.
    ///   - bias: `[out]`.
    ///   - addend: of `y`'s shape.
    /// - Gradient: `dx = scale · dy W`, `dW = scale · dyᵀ x`, `db = Σ dy`, `dy` for the addend. Keeps `x` only when the weight is trained.
    public func linear(_ weight: Tensor, bias: Tensor? = nil, scale: Float = 1, addend: Tensor? = nil) -> Tensor {
        require(rank >= 1 && weight.rank == 2 && shape.last! == weight.shape[1], "linear: input \(shape), weight \(weight.shape) is [out, in]")
        require(bias == nil || bias!.shape == [weight.shape[0]], "linear: bias \(bias?.shape ?? []), weight \(weight.shape) is [out, in]")
        let out = weight.shape[0], width = weight.shape[1], rows = shape.dropLast().reduce(1, *), shape = shape
        let x = weight.requiresGradient ? detached() : nil, w = weight.detached(), b = bias?.detached().widened()
        let y = Tensor(uninitialized: shape.dropLast() + [out])
        require(addend == nil || addend!.shape == y.shape, "linear: addend \(addend?.shape ?? []) for an output \(y.shape)")
        cc_gemm(false, true, rows, out, width, scale, floats, width, w.storage.pointer, w.dtype.code, width, 0, y.floats, out, b?.floats, addend?.floats)
        let inputs = [self, weight] + [bias, addend].compactMap { $0 }, biasInput = bias == nil ? nil : 2, addendInput = addend == nil ? nil : inputs.count - 1
        return Tensor.record("linear", y, from: inputs, flops: 2 * Double(y.count) * Double(width)) { dy, needs in
            var result = [Tensor?](repeating: nil, count: needs.count)
            if needs[0] {
                let dx = Tensor(uninitialized: shape)
                cc_gemm(false, false, rows, width, out, scale, dy.floats, out, w.storage.pointer, w.dtype.code, width, 0, dx.floats, width, nil, nil)
                result[0] = dx
            }
            if needs[1], let x {
                let dw = Tensor(uninitialized: [out, width])
                cc_gemm(true, false, out, width, rows, scale, dy.floats, out, x.floats, CC_F32, width, 0, dw.floats, width, nil, nil)
                result[1] = dw
            }
            if let biasInput, needs[biasInput] {
                let db = Tensor(uninitialized: [out])
                cc_sum_axis(1, rows, out, dy.floats, db.floats, false)
                result[biasInput] = db
            }
            if let addendInput, needs[addendInput] { result[addendInput] = dy }
            return result
        }
    }

    /// As float32 for the length of one op: for biases, scales and shifts, which are small. The tensor itself if it is float32.
    func widened() -> Tensor { dtype == .float32 ? self : converted(to: .float32) }
}
