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
    /// The scores exist a block at a time only; backward computes them again (Dao et al. 2022, arXiv:2205.14135).
    /// - Parameters:
    ///   - q: `[B, T, H·D]`; `k`, `v`: `[B, S, H·D]`.
    ///   - scale: 1/√D when nil.
    /// - Returns: `[B, T, H·D]`. A query that sees no key gives zeros.
    /// - Gradient: with `P` the probabilities and `δ = Σ dy ⊙ y`: `dv = Pᵀ dy`, `dS = P ⊙ (dy vᵀ − δ)`, `dq = scale dS k`, `dk = scale dSᵀ q`.
    ///   Keeps q, k, v, y and one number per query and head.
    public static func attention(_ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, mask: AttentionMask = .none, scale: Float? = nil) -> Tensor {
        require(q.rank == 3 && k.rank == 3 && k.shape == v.shape && q.shape[0] == k.shape[0] && q.shape[2] == k.shape[2] && heads > 0 && q.shape[2] % heads == 0,
                "attention: q \(q.shape) is [B, T, H·D], k \(k.shape) and v \(v.shape) are [B, S, H·D], \(heads) heads")
        if let (q, k, v) = united("attention", q, k, v) { return attention(q, k, v, heads: heads, mask: mask, scale: scale) }
        let sizes = AttentionSizes(q.shape, keys: k.shape[1], heads: heads, mask, scale)
        let (x, y, z) = (q.detached(), k.detached(), v.detached())
        func forward() -> [Tensor] {
            let output = Tensor(uninitialized: x.shape, like: x), logSums = Tensor(uninitialized: [x.shape[0], heads, x.shape[1]], on: x.device)
            x.device.attentionForward(sizes, x.elements, y.elements, z.elements, out: output.elements, lse: logSums.elements)
            return [output, logSums]
        }
        let (made, isRecalled) = k.shape[1] < keysWorthKeeping ? (forward(), false) : kept(forward), (output, logSums) = (made[0], made[1])
        return record("attention", output, from: [q, k, v], flops: 4 * Double(q.count) * Double(k.shape[1]), isRecalled: isRecalled) { dy, _ in
            let dq = Tensor(uninitialized: x.shape, like: x)
            let dk = Tensor(uninitialized: y.shape, like: y), dv = Tensor(uninitialized: z.shape, like: z)
            dy.device.attentionBackward(
                sizes, x.elements, y.elements, z.elements, out: output.elements, lse: logSums.elements, dout: dy.elements,
                dq: dq.elements, dk: dk.elements, dv: dv.elements)
            return [dq, dk, dv]
        }
    }

    /// From this many keys on a checkpoint keeps the result: a number of it takes four operations a key, a linear layer's two a channel.
    private static let keysWorthKeeping = 2048
}

extension AttentionSizes {
    /// Checked against the mask.
    fileprivate init(_ q: [Int], keys: Int, heads: Int, _ mask: AttentionMask, _ scale: Float?) {
        let width = q[2] / heads
        self.init(batch: q[0], queries: q[1], keys: keys, heads: heads, width: width, scale: scale ?? 1 / Float(width).squareRoot())
        switch mask {
        case .none: break
        case .causal: causalOffset = 0
        case .causalWithOffset(let offset): causalOffset = offset
        case .keyLengths(let lengths):
            require(lengths.count == q[0] && lengths.allSatisfy { $0 >= 0 && $0 <= keys },
                    "attention: key lengths \(lengths) for \(q[0]) rows of \(keys) keys")
            keyLengths = lengths
        }
    }
}
