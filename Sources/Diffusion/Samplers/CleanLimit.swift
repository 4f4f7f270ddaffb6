import TensorCore

/// What a class does to the predicted x₀ before it steps: nothing, clipping, or dynamic thresholding.
enum CleanLimit {
    case none
    case clipped(Float)
    /// Saharia et al. 2022 (arXiv:2205.11487, §2.3): each picture is clipped to the quantile of its magnitudes, held between 1 and
    /// `maximum`, and divided by it.
    case thresholded(ratio: Float, maximum: Float)

    /// - Parameters:
    ///   - clips: what the class does where the file is silent about clipping; nil for a class that knows none.
    ///   - thresholds: whether the class knows thresholding, which goes before clipping.
    init(_ c: SchedulerConfiguration, clips: Bool?, thresholds: Bool) {
        if thresholds, c.thresholding == true {
            self = .thresholded(ratio: Float(c.dynamicThresholdingRatio ?? 0.995), maximum: Float(c.sampleMaxValue ?? 1))
        } else if let clips, c.clipSample ?? clips {
            self = .clipped(Float(c.clipSampleRange ?? 1))
        } else {
            self = .none
        }
    }

    /// - Parameter clean: predicted x₀ `[B, H, W, C]`.
    func callAsFunction(_ clean: Tensor) -> Tensor {
        switch self {
        case .none: return clean
        case .clipped(let range): return clean.clamped(-range, range)
        case .thresholded(let ratio, let maximum):
            let pictures = (0..<clean.shape[0]).map { clean.sliced(axis: 0, from: $0, to: $0 + 1) }
            return Tensor.concatenated(pictures.map { picture in
                let bound = min(max(Self.quantile(picture.array.map(abs), ratio), 1), maximum)
                return picture.clamped(-bound, bound) / bound
            }, axis: 0)
        }
    }

    /// `torch.quantile`: linear between the two nearest.
    private static func quantile(_ values: [Float], _ ratio: Float) -> Float {
        let sorted = values.sorted(), rank = ratio * Float(sorted.count - 1)
        let below = Int(rank), above = min(below + 1, sorted.count - 1)
        return sorted[below] + (rank - Float(below)) * (sorted[above] - sorted[below])
    }
}
