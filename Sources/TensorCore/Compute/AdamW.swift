import CCompute

extension Compute {
    /// One step of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over one weight, all in place:
    /// `w ← w (1 − lr λ) − lr (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)`.
    ///
    /// - Parameters:
    ///   - moment: `m`, first moment; `second`: `v`, second moment. Zeros before step 1.
    ///   - step: t, counted from 1.
    ///   - gradientScale: what the gradient is multiplied by before it is used (clipping).
    public static func adamWStep(_ weight: UnsafeMutableBufferPointer<Float>, gradient: UnsafeBufferPointer<Float>,
                                 moment: UnsafeMutableBufferPointer<Float>, second: UnsafeMutableBufferPointer<Float>,
                                 learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, step: Int, gradientScale: Float = 1) {
        require(weight.count == gradient.count && weight.count == moment.count && weight.count == second.count,
                "adamWStep: \(weight.count) weights, \(gradient.count) gradients, \(moment.count) and \(second.count) moments")
        cc_adamw(weight.count, weight.baseAddress, gradient.baseAddress, moment.baseAddress, second.baseAddress,
                 learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale)
    }

    /// `Σ x²` in Double: for the norm of gradients.
    public static func sumOfSquares(_ x: UnsafeBufferPointer<Float>) -> Double {
        cc_dot(x.count, x.baseAddress, x.baseAddress)
    }
}
