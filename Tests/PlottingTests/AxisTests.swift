import Plotting
import Testing

@Suite struct AxisTests {
    @Test(arguments: [
        ([0.0, 1], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]), ([0.07, 0.13], ["0.08", "0.09", "0.10", "0.11", "0.12", "0.13"]), ([0, 10_000], ["0", "2k", "4k", "6k", "8k", "10k"]),
        ([0, 52_000], ["0", "10k", "20k", "30k", "40k", "50k"]), ([0, 1e-4], ["0", "2e-5", "4e-5", "6e-5", "8e-5", "1e-4"]), ([-1, 1], ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
    ] as [([Double], [String])]) func `ticks are round numbers with the digits they need`(values: [Double], expected: [String]) {
        let axis = Axis(.linear, showing: values, air: 0)
        #expect(axis.labels(axis.ticks(about: 5)) == expected)
    }

    @Test func `decades are labelled on a logarithmic axis`() {
        let axis = Axis(.logarithmic, from: 1e-5, to: 1)
        #expect(axis.labels(axis.ticks(about: 5)) == ["1e-5", "1e-4", "0.001", "0.01", "0.1", "1"])
        #expect(axis.position(1e-5) == 0 && axis.position(1) == 1)
        #expect(abs(axis.position(0.1)! - 0.8) < 1e-12)
        #expect(axis.position(0) == nil && axis.position(-1) == nil)
    }

    @Test func `numbers that have no place do not decide the range`() {
        let axis = Axis(.linear, showing: [1, .nan, .infinity, -.infinity, 1e305, 3], air: 0)
        #expect(axis.lower == 1 && axis.upper == 3)
        #expect(axis.position(.nan) == nil)
        let log = Axis(.logarithmic, showing: [0, -5, 0.1, 10], air: 0)
        #expect(log.lower == 0.1 && log.upper == 10)
    }

    @Test(arguments: [AxisScale.linear, .logarithmic]) func `no value and one value still make an axis`(scale: AxisScale) {
        for values in [[], [0.0], [5], [-3], [.leastNonzeroMagnitude], [1e299]] as [[Double]] {
            let axis = Axis(scale, showing: values)
            #expect(axis.lower < axis.upper, "\(values)")
            #expect(axis.ticks(about: 5).count < 30)
            if let value = values.first, let position = axis.position(value) { #expect(position > 0 && position < 1, "\(values)") }
        }
    }

    @Test(arguments: [(0.0, "0"), (0.0834, "0.0834"), (0.08, "0.08"), (1, "1"), (123.456, "123"), (1e-4, "1e-4"), (2.5e6, "2.5e6"), (-0.25, "-0.25"), (1200, "1200")])
    func `short numbers have three digits`(value: Double, expected: String) { #expect(Axis.short(value) == expected) }
}
