import CCompute

/// What a normalisation applies to its result, in the same pass.
public enum Activation: Sendable { case identity, silu }

extension Tensor {
    /// Group normalisation over `[B, H, W, C]` (Wu and He 2018, arXiv:1803.08494): each picture's channels in `groups` runs,
    /// `y = act((x − mean) / √(variance + ε) · scale + shift)`.
    ///
    /// - Parameters:
    ///   - scale: `[C]`; `shift`: `[C]`, of any type.
    ///   - activation: applied in the same pass.
    /// - Gradient: `dx = (g − mean g − x̂ mean(g x̂)) / σ` with `g = dy act′ ⊙ scale`. Keeps `x`, mean and 1/σ.
    public func groupNorm(groups: Int, scale: Tensor, shift: Tensor, epsilon: Float, activation: Activation = .identity) -> Tensor {
        require(rank == 4 && groups > 0 && shape[3] % groups == 0, "groupNorm: \(groups) groups of the channels of \(shape)")
        require(scale.shape == [shape[3]] && shift.shape == [shape[3]], "groupNorm: scale \(scale.shape), shift \(shift.shape) for \(shape)")
        let (batch, pixels, channels) = (shape[0], shape[1] * shape[2], shape[3])
        let x = detached(), s = scale.detached().widened(), t = shift.detached().widened()
        let y = Tensor(uninitialized: shape), mean = Tensor(uninitialized: [batch, groups]), rstd = Tensor(uninitialized: [batch, groups])
        let isSiLU = activation == .silu
        cc_group_norm(batch, pixels, channels, groups, epsilon, isSiLU, floats, s.floats, t.floats, y.floats, mean.floats, rstd.floats)
        return Tensor.record("groupNorm", y, from: [self, scale, shift]) { dy, needs in
            let dx = Tensor(uninitialized: x.shape)
            let ds = needs[1] ? Tensor(uninitialized: [channels]) : nil, dt = needs[2] ? Tensor(uninitialized: [channels]) : nil
            cc_group_norm_backward(batch, pixels, channels, groups, isSiLU, x.floats, s.floats, t.floats, mean.floats, rstd.floats, dy.floats,
                                   dx.floats, ds?.floats, dt?.floats)
            return [dx, ds, dt]
        }
    }

    /// Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450).
    ///
    /// - Parameter scale: `[N]`; `shift`: `[N]`, of any type.
    /// - Gradient: as `groupNorm`'s, with each row its own group. Keeps `x`, mean and 1/σ.
    public func layerNorm(scale: Tensor, shift: Tensor, epsilon: Float) -> Tensor {
        require(rank >= 1 && scale.shape == [shape.last!] && shift.shape == [shape.last!], "layerNorm: scale \(scale.shape), shift \(shift.shape) for \(shape)")
        let width = shape.last!, rows = shape.dropLast().reduce(1, *)
        let x = detached(), s = scale.detached().widened(), t = shift.detached().widened()
        let y = Tensor(uninitialized: shape), mean = Tensor(uninitialized: [rows]), rstd = Tensor(uninitialized: [rows])
        cc_layer_norm(rows, width, epsilon, floats, s.floats, t.floats, y.floats, mean.floats, rstd.floats)
        return Tensor.record("layerNorm", y, from: [self, scale, shift]) { dy, needs in
            let dx = Tensor(uninitialized: x.shape)
            let ds = needs[1] ? Tensor(uninitialized: [width]) : nil, dt = needs[2] ? Tensor(uninitialized: [width]) : nil
            cc_layer_norm_backward(rows, width, x.floats, s.floats, mean.floats, rstd.floats, dy.floats, dx.floats, ds?.floats, dt?.floats)
            return [dx, ds, dt]
        }
    }
}
