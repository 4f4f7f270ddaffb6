import Neural
import TensorCore

/// What a change of rank kept of one module.
public struct ResizeReport: Sendable, Equatable {
    public let module: String
    public let oldRank: Int, newRank: Int
    /// Sum and Frobenius norm of the kept singular values, relative to those of all of them; 1 when nothing was lost.
    public let sumRetained: Float, frobeniusRetained: Float
}

extension AdapterNetwork {
    /// Changes the rank of every module, keeping what it does as well as the new rank allows.
    ///
    /// Smaller: the best approximation of B·A, by singular value decomposition (B ← U√S, A ← √S Vᵀ). Larger: A gains fresh
    /// rows and B zero columns, so the model's output stays exactly the same and the new directions can learn.
    /// - Parameters:
    ///   - rank: the new rank.
    ///   - alpha: the new alpha; nil keeps α/r.
    ///   - kernels: the modules of layers with larger kernels (`conv_dim`), or all the others.
    ///   - generator: draws A's fresh rows.
    /// - Throws: `AdapterError` for a rank or alpha out of range, and when an adapter is no LoRA; nothing has changed then.
    @discardableResult
    public func resize(to rank: Int, alpha: Float? = nil, kernels: Bool = false, generator: inout TorchGenerator) throws(AdapterError) -> [ResizeReport] {
        try LoRASpecification(rank: rank, alpha: alpha).validate()
        if let other = adapters.first(where: { !($0 is any LoRAModule) }) { throw .rankIsFixed(other.kind) }
        if let unit = modules.compactMap({ ($0 as? DyLoRA)?.unit }).max(), rank % unit != 0 { throw .unitDoesNotDivide(unit: unit, rank: rank) }
        return modules.filter { ($0.layer.kind.kernel > 1) == kernels }.map { module in
            let newAlpha = alpha ?? module.scale * Float(rank)
            // A weight delta of scale·B·A must come out the same under the new scale.
            let gain = module.scale / (newAlpha / Float(rank))
            return rank < module.rank
                ? module.shrink(to: rank, alpha: newAlpha, gain: gain)
                : module.grow(to: rank, alpha: newAlpha, gain: gain, generator: &generator)
        }
    }
}

extension LoRAModule {
    /// Singular values of the weight change `(α / r) · B A`, largest first; as many as the rank.
    public func singularValues() -> [Float] {
        let (_, values, _) = decomposition()
        return values.map { $0 * scale }
    }

    /// The thin decomposition of B·A: `[out, r]`, r values, `[r, in·k·k]`, through that of a small `[r, r]` core.
    private func decomposition() -> (u: Tensor, values: [Float], vt: Tensor) {
        withoutGradients {
            let up = upMatrix.svd(), down = downMatrix.svd()
            // B·A = U₁ (S₁ V₁ᵀ U₂ S₂) V₂ᵀ
            let core = (up.vt * Tensor(up.values, shape: [up.values.count, 1])).matmul(down.u * Tensor(down.values, shape: [1, down.values.count]))
            let inner = core.svd()
            return (up.u.matmul(inner.u), inner.values, inner.vt.matmul(down.vt))
        }
    }

    fileprivate func shrink(to newRank: Int, alpha newAlpha: Float, gain: Float) -> ResizeReport {
        withoutGradients {
            let oldRank = rank
            let (u, values, vt) = decomposition()
            let kept = min(newRank, values.count)
            let roots = values.prefix(kept).map { ($0 * gain).squareRoot() }
            var newUp = u.sliced(axis: 1, from: 0, to: kept) * Tensor(roots, shape: [1, kept])
            var newDown = vt.sliced(axis: 0, from: 0, to: kept) * Tensor(roots, shape: [kept, 1])
            if kept < newRank {     // fewer values than ranks: layers narrower than the rank
                newUp = Tensor.concatenated([newUp, .zeros([newUp.shape[0], newRank - kept], on: newUp.device)], axis: 1)
                newDown = Tensor.concatenated([newDown, .zeros([newRank - kept, newDown.shape[1]], on: newDown.device)], axis: 0)
            }
            place(down: newDown, up: newUp, rank: newRank, alpha: newAlpha)
            let energy = values.map { $0 * $0 }
            func share(_ values: [Float]) -> Float {
                let all = values.reduce(0, +)
                return all > 0 ? values.prefix(kept).reduce(0, +) / all : 1
            }
            return ResizeReport(module: name, oldRank: oldRank, newRank: newRank, sumRetained: share(values), frobeniusRetained: share(energy).squareRoot())
        }
    }

    fileprivate func grow(to newRank: Int, alpha newAlpha: Float, gain: Float, generator: inout TorchGenerator) -> ResizeReport {
        let oldRank = rank, extra = newRank - oldRank
        var newUp = withoutGradients { upMatrix * gain }, newDown = downMatrix
        if extra > 0 {
            let fresh = LoRAFactors.freshDown(layer.kind, rank: extra, generator: &generator)
            newDown = withoutGradients { Tensor.concatenated([downMatrix, fresh.reshaped([extra, -1]).moved(to: newDown.device)], axis: 0) }
            newUp = withoutGradients { Tensor.concatenated([newUp, .zeros([newUp.shape[0], extra], on: newUp.device)], axis: 1) }
        }
        place(down: newDown, up: newUp, rank: newRank, alpha: newAlpha)
        return ResizeReport(module: name, oldRank: oldRank, newRank: newRank, sumRetained: 1, frobeniusRetained: 1)
    }

    /// Matrices back into the factors' own shapes.
    private func place(down newDown: Tensor, up newUp: Tensor, rank newRank: Int, alpha newAlpha: Float) {
        let downShape = [newRank] + down.value.shape.dropFirst(), upShape = [layer.kind.outputs, newRank] + up.value.shape.dropFirst(2)
        set(down: newDown.reshaped(downShape), up: newUp.reshaped(upShape), alpha: newAlpha)
    }
}
