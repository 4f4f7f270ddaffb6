extension Tensor {
    /// Matrix product: `[..., M, K] · [K, N]`, or `[B..., M, K] · [B..., K, N]` with equal leading sizes → `[..., M, N]`.
    ///
    /// - Parameter isTransposed: `other` is `[..., N, K]`.
    /// - Gradient: `da = dy bᵀ`, `db = aᵀ dy`. Keeps the operand that the other's gradient needs.
    public func matmul(_ other: Tensor, transposed isTransposed: Bool = false) -> Tensor {
        if let (a, b) = Tensor.united("matmul", self, other) { return a.matmul(b, transposed: isTransposed) }
        let p = Product(shape, other.shape, isTransposed), (shapeA, shapeB) = (shape, other.shape), (typeA, typeB) = (dtype, other.dtype)
        let a = other.requiresGradient ? detached() : nil, b = requiresGradient ? other.detached() : nil
        let y = Tensor(uninitialized: shape.dropLast() + [p.n], like: self)
        let product = MatrixProduct(p.m, p.n, p.k, transposesB: isTransposed)
        device.gemmBatched(p.batch, product, elements, p.m * p.k, other.elements, p.k * p.n, y.elements, p.m * p.n)
        return Tensor.record("matmul", y, from: [self, other], flops: 2 * Double(y.count) * Double(shape[shape.count - 1])) { dy, needs in
            var result: [Tensor?] = [nil, nil]
            if needs[0], let b {
                let da = Tensor(uninitialized: shapeA, on: dy.device, type: typeA), product = MatrixProduct(p.m, p.k, p.n, transposesB: !isTransposed)
                dy.device.gemmBatched(p.batch, product, dy.elements, p.m * p.n, b.elements, p.k * p.n, da.elements, p.m * p.k)
                result[0] = da
            }
            if needs[1], let a {
                let db = Tensor(uninitialized: shapeB, on: dy.device, type: typeB)
                if isTransposed {   // [N, K] = dyᵀ a
                    let product = MatrixProduct(p.n, p.k, p.m, transposesA: true)
                    dy.device.gemmBatched(p.batch, product, dy.elements, p.m * p.n, a.elements, p.m * p.k, db.elements, p.k * p.n)
                } else {            // [K, N] = aᵀ dy
                    let product = MatrixProduct(p.k, p.n, p.m, transposesA: true)
                    dy.device.gemmBatched(p.batch, product, a.elements, p.m * p.k, dy.elements, p.m * p.n, db.elements, p.k * p.n)
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
        guard isTogether(with: weight, bias, addend) else {
            return linear(weight.beside(self, "linear"), bias: bias?.beside(self, "linear"), scale: scale, addend: addend?.beside(self, "linear"))
        }
        let out = weight.shape[0], width = weight.shape[1], rows = shape.dropLast().reduce(1, *), shape = shape, type = dtype
        let x = weight.requiresGradient ? detached() : nil, w = weight.detached(), b = bias?.detached()
        let y = Tensor(uninitialized: shape.dropLast() + [out], like: self)
        require(addend == nil || addend!.shape == y.shape, "linear: addend \(addend?.shape ?? []) for an output \(y.shape)")
        let product = MatrixProduct(rows, out, width, transposesB: true, alpha: scale)
        device.gemm(product, elements, w.elements, bias: b?.elements, addend: addend?.elements, y.elements)
        let inputs = [self, weight] + [bias, addend].compactMap { $0 }, biasInput = bias == nil ? nil : 2, addendInput = addend == nil ? nil : inputs.count - 1
        return Tensor.record("linear", y, from: inputs, flops: 2 * Double(y.count) * Double(width)) { dy, needs in
            var result = [Tensor?](repeating: nil, count: needs.count)
            if needs[0] {
                let dx = Tensor(uninitialized: shape, on: dy.device, type: type)
                dy.device.gemm(MatrixProduct(rows, width, out, alpha: scale), dy.elements, w.elements, bias: nil, addend: nil, dx.elements)
                result[0] = dx
            }
            if needs[1], let x {
                let dw = Tensor(uninitialized: [out, width], like: w)
                let product = MatrixProduct(out, width, rows, transposesA: true, alpha: scale)
                dy.device.gemm(product, dy.elements, x.elements, bias: nil, addend: nil, dw.elements)
                result[1] = dw
            }
            if let biasInput, needs[biasInput] {
                let db = Tensor(uninitialized: [out], on: dy.device)
                dy.device.sumAxis(1, rows, out, dy.elements, db.elements)
                result[biasInput] = db
            }
            if let addendInput, needs[addendInput] { result[addendInput] = dy }
            return result
        }
    }
}
