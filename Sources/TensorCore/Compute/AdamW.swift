import Glibc

extension Compute {
    /// One step of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over one weight, all in place:
    /// `w ← w (1 − lr λ) − lr (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)`.
    ///
    /// - Parameters:
    ///   - moment: `m`, first moment; `second`: `v`, second moment. Zeros before step 1.
    ///   - step: t, counted from 1.
    public static func adamWStep(_ weight: UnsafeMutableBufferPointer<Float>, gradient: UnsafeBufferPointer<Float>,
                                 moment: UnsafeMutableBufferPointer<Float>, second: UnsafeMutableBufferPointer<Float>,
                                 learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, step: Int) {
        require(weight.count == gradient.count && weight.count == moment.count && weight.count == second.count,
                "adamWStep: \(weight.count) weights, \(gradient.count) gradients, \(moment.count) and \(second.count) moments")
        let correction1 = 1 - Float(pow(Double(beta1), Double(step))), correction2 = 1 - Float(pow(Double(beta2), Double(step)))
        let decay = 1 - learningRate * weightDecay, size = learningRate / correction1, root = correction2.squareRoot()
        let (w, g, m, v) = (weight.baseAddress, gradient.baseAddress, moment.baseAddress, second.baseAddress)
        guard let w, let g, let m, let v else { return }
        Parallel.run(weight.count, grain: grain) { range in
            for i in range {
                m[i] = beta1 * m[i] + (1 - beta1) * g[i]
                v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i]
                w[i] = w[i] * decay - size * m[i] / (v[i].squareRoot() / root + epsilon)
            }
        }
    }
}
