#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The multiplier of the base learning rate as a function of the updates already done, with the rules of transformers'
/// `optimization` module.
public struct LearningRateSchedule: Sendable, Equatable {
    public enum Shape: Sendable, Equatable {
        /// 1 throughout; takes no warm-up.
        case constant
        case constantWithWarmup
        /// Falls to 0 in a straight line.
        case linear
        /// Falls to 0 along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).
        case cosine
        /// Falls to 0 `cycles` times.
        case cosineWithRestarts(cycles: Int)
        /// Falls to `end` along `(1 − progress)^power`; `end` is a ratio of the base rate.
        case polynomial(power: Double, end: Double)
        /// `1/√((k + s − W)/s)`; the timescale s is the warm-up, or 10,000 without one, unless given.
        case inverseSquareRoot(timescale: Int?)
        /// A cosine of `cycles` half waves that ends at `minimum`, a ratio of the base rate.
        case cosineWithMinimum(minimum: Double, cycles: Double)
        /// Warm-up from `minimum`, level, then a cosine of `cycles` half waves over the last `decaySteps` down to `minimum`.
        case warmupStableDecay(decaySteps: Int, minimum: Double, cycles: Double)
        /// Multipliers with the step before which each holds; `last` afterwards.
        case piecewiseConstant([Piece], last: Double)
    }

    public struct Piece: Sendable, Equatable {
        public let multiplier: Double
        public let before: Int
        public init(multiplier: Double, before: Int) {
            self.multiplier = multiplier
            self.before = before
        }
    }

    public var shape: Shape
    /// W, in updates.
    public var warmupSteps: Int
    /// T, in updates.
    public var totalSteps: Int

    public init(_ shape: Shape, warmupSteps: Int = 0, totalSteps: Int) {
        self.shape = shape
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
    }

    /// - Parameter step: updates already done; the first update has 0.
    public func multiplier(at step: Int) -> Double {
        switch shape {
        case .constant: return 1
        case .piecewiseConstant(let pieces, let last): return pieces.first { step < $0.before }?.multiplier ?? last
        case .warmupStableDecay(let decaySteps, let minimum, let cycles):
            return stableThenDecayed(step, over: decaySteps, minimum: minimum, cycles: cycles)
        default: break
        }
        if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) }
        let progress = Double(step - warmupSteps) / Double(max(1, totalSteps - warmupSteps))
        switch shape {
        case .linear: return max(0, Double(totalSteps - step) / Double(max(1, totalSteps - warmupSteps)))
        case .cosine: return max(0, halfCosine(progress))
        case .cosineWithRestarts(let cycles):
            return progress >= 1 ? 0 : halfCosine((Double(cycles) * progress).truncatingRemainder(dividingBy: 1))
        case .polynomial(let power, let end):
            return step > totalSteps ? end : (1 - end) * pow(1 - progress, power) + end
        case .inverseSquareRoot(let timescale):
            let scale = timescale ?? (warmupSteps > 0 ? warmupSteps : 10_000)
            return 1 / (Double(step + scale - warmupSteps) / Double(scale)).squareRoot()
        case .cosineWithMinimum(let minimum, let cycles):
            return max(0, halfCosine(cycles * progress) * (1 - minimum) + minimum)
        case .constant, .constantWithWarmup, .piecewiseConstant, .warmupStableDecay: return 1
        }
    }

    private func stableThenDecayed(_ step: Int, over decaySteps: Int, minimum: Double, cycles: Double) -> Double {
        if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) * (1 - minimum) + minimum }
        let start = totalSteps - decaySteps
        if step < start { return 1 }
        guard step < totalSteps else { return minimum }
        return halfCosine(cycles * Double(step - start) / Double(max(1, decaySteps))) * (1 - minimum) + minimum
    }

    /// `(1 + cos πx) / 2`.
    private func halfCosine(_ x: Double) -> Double { 0.5 * (1 + cos(.pi * x)) }
}
