import Glibc

/// Which keys a query may attend to.
public enum AttentionMask: Sendable, Equatable {
    case none
    /// Query t sees keys 0...t.
    case causal
    /// Row b of the batch sees its first `lengths[b]` keys.
    case keyLengths([Int])
    /// Query t sees keys 0...t + offset: queries that continue `offset` earlier ones.
    case causalWithOffset(Int)
}

extension Tensor {
    /// Multi-head attention `softmax(scale q kᵀ + mask) v`, heads side by side in the last axis.
    ///
    /// The scores exist a few rows at a time only; backward computes them again (Dao et al. 2022, arXiv:2205.14135).
    /// - Parameters:
    ///   - q: `[B, T, H·D]`; `k`, `v`: `[B, S, H·D]`.
    ///   - scale: 1/√D when nil.
    /// - Returns: `[B, T, H·D]`. A query that sees no key gives zeros.
    /// - Gradient: with `P` the probabilities and `δ = Σ dy ⊙ y`: `dv = Pᵀ dy`, `dS = P ⊙ (dy vᵀ − δ)`, `dq = scale dS k`, `dk = scale dSᵀ q`.
    ///   Keeps q, k, v, y and one number per query and head.
    public static func attention(_ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, mask: AttentionMask = .none, scale: Float? = nil) -> Tensor {
        let a = Compute.Attention(q.shape, k.shape, v.shape, heads: heads, mask: mask, scale: scale)
        let (x, y, z) = (q.detached(), k.detached(), v.detached())
        let output = Tensor(uninitialized: q.shape), logSums = Tensor(uninitialized: [a.batch, heads, a.queries])
        a.forward(x.floats, y.floats, z.floats, to: output.floats, logSums.floats)
        return record("attention", output, from: [q, k, v]) { dy, _ in
            let (dq, dk, dv) = (Tensor(uninitialized: x.shape), Tensor.zeros(y.shape), Tensor.zeros(z.shape))
            a.backward(x.floats, y.floats, z.floats, output.floats, logSums.floats, dy.floats, dq.floats, dk.floats, dv.floats)
            return [dq, dk, dv]
        }
    }
}

extension Compute {
    /// The sizes of one attention.
    struct Attention {
        let batch: Int, queries: Int, keys: Int, heads: Int, width: Int
        let mask: AttentionMask
        let scale: Float
        private var row: Int { heads * width }
        /// Queries whose scores exist at a time.
        private let block = 64

        init(_ q: [Int], _ k: [Int], _ v: [Int], heads: Int, mask: AttentionMask, scale: Float?) {
            require(q.count == 3 && k.count == 3 && k == v && q[0] == k[0] && q[2] == k[2] && heads > 0 && q[2] % heads == 0,
                    "attention: q \(q) is [B, T, H·D], k \(k) and v \(v) are [B, S, H·D], \(heads) heads")
            (batch, queries, keys, self.heads, width) = (q[0], q[1], k[1], heads, q[2] / heads)
            if case .keyLengths(let lengths) = mask {
                require(lengths.count == batch && lengths.allSatisfy { $0 >= 0 && $0 <= k[1] }, "attention: key lengths \(lengths) for k \(k)")
            }
            self.mask = mask
            self.scale = scale ?? 1 / Float(width).squareRoot()
        }

        /// Keys that query `t` of row `b` sees: the first so many.
        private func visible(_ b: Int, _ t: Int) -> Int {
            switch mask {
            case .none: keys
            case .causal: min(keys, t + 1)
            case .keyLengths(let lengths): lengths[b]
            case .causalWithOffset(let offset): max(0, min(keys, t + offset + 1))
            }
        }

        /// - Parameter logSums: `[B, H, T]`, `log Σ exp(score)` of each query.
        func forward(_ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ logSums: UnsafeMutablePointer<Float>) {
            let blocks = (queries + block - 1) / block
            Parallel.run(batch * heads * blocks, grain: 1) { range in
                let scratch = Tensor(uninitialized: [block, keys])
                for piece in range {
                    let b = piece / blocks / heads, h = piece / blocks % heads
                    let first = piece % blocks * block, n = min(block, queries - first)
                    let at = (b * queries + first) * row + h * width, keyAt = b * keys * row + h * width
                    let s = scratch.floats
                    gemmOnThisThread(n, keys, width, alpha: scale, q + at, row, false, k + keyAt, row, true, beta: 0, s, keys)
                    for t in 0..<n {
                        let line = s + t * keys, seen = visible(b, first + t)
                        let (peak, total) = expSum(line, seen)
                        let logSum = seen == 0 ? 0 : peak + logf(total)
                        logSums[(b * heads + h) * queries + first + t] = logSum
                        for j in 0..<seen { line[j] = expf(line[j] - logSum) }
                        for j in seen..<max(seen, keys) { line[j] = 0 }
                    }
                    gemmOnThisThread(n, width, keys, s, keys, false, v + keyAt, row, false, beta: 0, y + at, row)
                }
            }
        }

        /// `dk` and `dv` come in as zeros.
        func backward(_ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ logSums: UnsafePointer<Float>,
                      _ dy: UnsafePointer<Float>, _ dq: UnsafeMutablePointer<Float>, _ dk: UnsafeMutablePointer<Float>, _ dv: UnsafeMutablePointer<Float>) {
            Parallel.run(batch * heads, grain: 1) { range in
                let scratch = Tensor(uninitialized: [2, block, keys])
                let p = scratch.floats, ds = p + block * keys
                for piece in range {
                    let b = piece / heads, h = piece % heads, keyAt = b * keys * row + h * width
                    for first in Swift.stride(from: 0, to: queries, by: block) {
                        let n = min(block, queries - first), at = (b * queries + first) * row + h * width
                        gemmOnThisThread(n, keys, width, alpha: scale, q + at, row, false, k + keyAt, row, true, beta: 0, p, keys)
                        gemmOnThisThread(n, keys, width, dy + at, row, false, v + keyAt, row, true, beta: 0, ds, keys)
                        for t in 0..<n {
                            let line = p + t * keys, gradient = ds + t * keys, seen = visible(b, first + t)
                            let logSum = logSums[(b * heads + h) * queries + first + t]
                            var delta: Float = 0
                            for i in 0..<width { delta += dy[at + t * row + i] * y[at + t * row + i] }
                            for j in 0..<seen {
                                line[j] = expf(line[j] - logSum)
                                gradient[j] = line[j] * (gradient[j] - delta)
                            }
                            for j in seen..<max(seen, keys) { line[j] = 0; gradient[j] = 0 }
                        }
                        gemmOnThisThread(n, width, keys, alpha: scale, ds, keys, false, k + keyAt, row, false, beta: 0, dq + at, row)
                        gemmOnThisThread(keys, width, n, alpha: scale, ds, keys, true, q + at, row, false, beta: 1, dk + keyAt, row)
                        gemmOnThisThread(keys, width, n, p, keys, true, dy + at, row, false, beta: 1, dv + keyAt, row)
                    }
                }
            }
        }
    }
}
