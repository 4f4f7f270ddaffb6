import TensorCore
import Testing

/// Expects the same shape and `|actual − expected| ≤ absolute + relative · max|expected|` for every element.
///
/// The tolerance is measured on the largest element because float32 sums lose digits of their largest term, not of their result.
public func expectClose(_ actual: Tensor, _ expected: Tensor, relative: Double = 1e-5, absolute: Double = 0, _ what: String = "",
                        sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(actual.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
    expectClose(actual.array.map(Double.init), expected.array.map(Double.init), relative: relative, absolute: absolute, what, sourceLocation: sourceLocation)
}

public func expectClose(_ actual: Tensor, _ expected: [Float], relative: Double = 1e-5, absolute: Double = 0, _ what: String = "",
                        sourceLocation: SourceLocation = #_sourceLocation) {
    expectClose(actual.array.map(Double.init), expected.map(Double.init), relative: relative, absolute: absolute, what, sourceLocation: sourceLocation)
}

public func expectClose(_ actual: [Double], _ expected: [Double], relative: Double = 1e-5, absolute: Double = 0, _ what: String = "",
                        sourceLocation: SourceLocation = #_sourceLocation) {
    guard actual.count == expected.count else {
        Issue.record("\(what): \(actual.count) elements, expected \(expected.count)", sourceLocation: sourceLocation)
        return
    }
    let scale = expected.reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 }
    let allowed = absolute + relative * scale
    var worst = 0.0, place = -1
    for (i, (x, y)) in zip(actual, expected).enumerated() where x != y {
        let error = (x - y).isNaN ? Double.infinity : abs(x - y)
        if error > worst { (worst, place) = (error, i) }
    }
    if worst > allowed {
        Issue.record("""
            \(what.isEmpty ? "values differ" : what): element \(place) is \(actual[place]), expected \(expected[place]); \
            error \(worst) > \(allowed) (largest expected \(scale))
            """, sourceLocation: sourceLocation)
    }
}
