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
        guard isTogether(with: scale, shift) else {
            let scale = scale.beside(self, "groupNorm"), shift = shift.beside(self, "groupNorm")
            return groupNorm(groups: groups, scale: scale, shift: shift, epsilon: epsilon, activation: activation)
        }
        let sizes = GroupNormSizes(
            batch: shape[0], pixels: shape[1] * shape[2], channels: shape[3], groups: groups, epsilon: epsilon, appliesSiLU: activation == .silu)
        let x = detached(), s = scale.detached(), t = shift.detached(), y = Tensor(uninitialized: shape, like: self)
        let mean = Tensor(uninitialized: [sizes.batch, groups], on: device), rstd = Tensor(uninitialized: [sizes.batch, groups], on: device)
        device.groupNorm(sizes, elements, scale: s.elements, shift: t.elements, y.elements, mean: mean.elements, rstd: rstd.elements)
        return Tensor.record("groupNorm", y, from: [self, scale, shift]) { dy, needs in
            let dx = Tensor(uninitialized: x.shape, like: x)
            let ds = needs[1] ? Tensor(uninitialized: s.shape, like: s) : nil, dt = needs[2] ? Tensor(uninitialized: t.shape, like: t) : nil
            dy.device.groupNormBackward(
                sizes, x.elements, scale: s.elements, shift: t.elements, mean: mean.elements, rstd: rstd.elements, dy: dy.elements, dx: dx.elements,
                dscale: ds?.elements, dshift: dt?.elements)
            return [dx, ds, dt]
        }
    }

    /// Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450).
    ///
    /// - Parameter scale: `[N]`; `shift`: `[N]`, of any type.
    /// - Gradient: as `groupNorm`'s, with each row its own group. Keeps `x`, mean and 1/σ.
    public func layerNorm(scale: Tensor, shift: Tensor, epsilon: Float) -> Tensor {
        require(rank >= 1 && scale.shape == [shape.last!] && shift.shape == [shape.last!], "layerNorm: scale \(scale.shape), shift \(shift.shape) for \(shape)")
        guard isTogether(with: scale, shift) else {
            return layerNorm(scale: scale.beside(self, "layerNorm"), shift: shift.beside(self, "layerNorm"), epsilon: epsilon)
        }
        let width = shape.last!, rows = shape.dropLast().reduce(1, *)
        let x = detached(), s = scale.detached(), t = shift.detached(), y = Tensor(uninitialized: shape, like: self)
        let mean = Tensor(uninitialized: [rows], on: device), rstd = Tensor(uninitialized: [rows], on: device)
        device.layerNorm(rows, width, epsilon, elements, scale: s.elements, shift: t.elements, y.elements, mean: mean.elements, rstd: rstd.elements)
        return Tensor.record("layerNorm", y, from: [self, scale, shift]) { dy, needs in
            let dx = Tensor(uninitialized: x.shape, like: x)
            let ds = needs[1] ? Tensor(uninitialized: s.shape, like: s) : nil, dt = needs[2] ? Tensor(uninitialized: t.shape, like: t) : nil
            dy.device.layerNormBackward(
                rows, width, x.elements, scale: s.elements, mean: mean.elements, rstd: rstd.elements, dy: dy.elements, dx: dx.elements,
                dscale: ds?.elements, dshift: dt?.elements)
            return [dx, ds, dt]
        }
    }
}
