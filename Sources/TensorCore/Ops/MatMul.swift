extension Tensor {
    /// Matrix product: `[..., M, K] · [K, N]`, or `[B..., M, K] · [B..., K, N]` with equal leading sizes → `[..., M, N]`.
    ///
    /// - Parameter isTransposed: `other` is `[..., N, K]`.
    /// - Gradient: `da = dy bᵀ`, `db = aᵀ dy`.
    public func matmul(_ other: Tensor, transposed isTransposed: Bool = false) -> Tensor {
        require(rank >= 2 && other.rank >= 2, "matmul: \(shape) by \(other.shape); both need two axes or more")
        let a = detached(), b = other.detached()
        let p = Product(a.shape, b.shape, isTransposed)
        let y = Tensor(uninitialized: a.shape.dropLast() + [p.n])
        p.forEach { i in
            Compute.gemm(p.m, p.n, p.k, .init(a.floats + i * p.m * p.k, stride: p.k), .init(b.floats + i * p.k * p.n, stride: b.shape.last!, transposed: isTransposed),
                         y.floats + i * p.m * p.n, cStride: p.n)
        }
        return Tensor.record("matmul", y, from: [self, other]) { dy, needs in
            [needs[0] ? p.leftGradient(dy, b) : nil, needs[1] ? p.rightGradient(dy, a, b.shape) : nil]
        }
    }

    /// The sizes of one product, or of a batch of them.
    private struct Product {
        let batch: Int, m: Int, n: Int, k: Int
        let isTransposed: Bool

        init(_ a: [Int], _ b: [Int], _ isTransposed: Bool) {
            self.isTransposed = isTransposed
            k = a[a.count - 1]
            n = isTransposed ? b[b.count - 2] : b[b.count - 1]
            require(k == (isTransposed ? b[b.count - 1] : b[b.count - 2]) && (b.count == 2 || a.dropLast(2) == b.dropLast(2)),
                    "matmul: \(a) by \(b)\(isTransposed ? " transposed" : "")")
            batch = b.count == 2 ? 1 : b.dropLast(2).reduce(1, *)
            m = b.count == 2 ? a.dropLast().reduce(1, *) : a[a.count - 2]
        }

        /// One product after the other when each is large enough to be shared, else the products are.
        func forEach(_ body: (Int) -> Void) {
            Parallel.run(batch, grain: m * n * k >= 1 << 20 ? batch : 1) { range in for i in range { body(i) } }
        }

        func leftGradient(_ dy: Tensor, _ b: Tensor) -> Tensor {
            let da = Tensor(uninitialized: dy.shape.dropLast() + [k])
            forEach { i in
                Compute.gemm(m, k, n, .init(dy.floats + i * m * n, stride: n), .init(b.floats + i * k * n, stride: b.shape.last!, transposed: !isTransposed),
                             da.floats + i * m * k, cStride: k)
            }
            return da
        }

        func rightGradient(_ dy: Tensor, _ a: Tensor, _ shape: [Int]) -> Tensor {
            let db = Tensor(uninitialized: shape)
            forEach { i in
                let left = Compute.Matrix(a.floats + i * m * k, stride: k, transposed: true), right = Compute.Matrix(dy.floats + i * m * n, stride: n)
                if isTransposed {
                    Compute.gemm(n, k, m, .init(right.pointer, stride: n, transposed: true), .init(left.pointer, stride: k), db.floats + i * k * n, cStride: k)
                } else {
                    Compute.gemm(k, n, m, left, right, db.floats + i * k * n, cStride: n)
                }
            }
            return db
        }
    }

    /// `y = x Wᵀ + bias`: `[..., in]` → `[..., out]`.
    ///
    /// - Parameters:
    ///   - weight: `[out, in]` of any type; 16-bit weights are widened as they are read.
    ///   - bias: `[out]`.
    /// - Gradient: `dx = dy W`, `dW = dyᵀ x`, `db = Σ dy`. Keeps `x` only when the weight is trained.
    public func linear(_ weight: Tensor, bias: Tensor? = nil) -> Tensor {
        require(rank >= 1 && weight.rank == 2 && shape.last! == weight.shape[1], "linear: input \(shape), weight \(weight.shape) is [out, in]")
        require(bias == nil || bias!.shape == [weight.shape[0]], "linear: bias \(bias?.shape ?? []), weight \(weight.shape) is [out, in]")
        let out = weight.shape[0], width = weight.shape[1]
        let rows = shape.dropLast().reduce(1, *), shape = shape
        let x = weight.requiresGradient ? detached() : nil, w = weight.detached()
        let y = Tensor(uninitialized: shape.dropLast() + [out])
        let wide = w.widened(), wideBias = bias?.detached().widened()
        Compute.gemm(rows, out, width, .init(floats, stride: width), .init(wide.floats, stride: width, transposed: true), bias: wideBias?.floats, y.floats, cStride: out)
        return Tensor.record("linear", y, from: [self, weight] + (bias.map { [$0] } ?? [])) { dy, needs in
            var result: [Tensor?] = [nil, nil, nil]
            if needs[0] {
                let dx = Tensor(uninitialized: shape), wide = w.widened()
                Compute.gemm(rows, width, out, .init(dy.floats, stride: out), .init(wide.floats, stride: width), dx.floats, cStride: width)
                result[0] = dx
            }
            if needs[1] {
                let dw = Tensor(uninitialized: [out, width])
                Compute.gemm(out, width, rows, .init(dy.floats, stride: out, transposed: true), .init(x!.floats, stride: width), dw.floats, cStride: width)
                result[1] = dw
            }
            if needs.count > 2, needs[2] { result[2] = dy.reshaped([rows, out]).summed(to: [out]) }
            return result
        }
    }

    /// Float32 for the length of one op; the tensor itself when it is float32 already.
    func widened() -> Tensor { dtype == .float32 ? self : converted(to: .float32) }
}
