import Glibc

/// How numbers become places on an axis, and which of them are written beside it.
public enum AxisScale: Sendable, Equatable {
    case linear
    /// Powers of ten are equally far apart; only numbers above zero have a place.
    case logarithmic
}

/// An axis with its range chosen.
package struct Axis {
    package let scale: AxisScale
    /// Lower end below upper end, always.
    package let lower, upper: Double

    /// An axis that shows `values` with a little air at both ends; values that have no place on it do not count.
    package init(_ scale: AxisScale, showing values: some Sequence<Double>, air: Double = 0.05) {
        var (low, high) = (Double.infinity, -Double.infinity)
        for value in values where Self.isPlaceable(value, scale) { (low, high) = (min(low, value), max(high, value)) }
        if low > high { (low, high) = scale == .linear ? (0, 1) : (0.1, 1) }
        switch scale {
        case .linear:
            // A flat line stands in the middle of a range of its own size.
            let spread = high > low ? high - low : abs(high) < 1e-300 ? 1 : abs(high)
            lower = low - spread * (high > low ? air : 0.5)
            upper = high + spread * (high > low ? air : 0.5)
        case .logarithmic:
            let ratio = high / low > 1.0001 ? pow(high / low, air) : 2
            (lower, upper) = (max(low / ratio, .leastNormalMagnitude), min(high * ratio, .greatestFiniteMagnitude))
        }
        self.scale = scale
    }

    package init(_ scale: AxisScale, from lower: Double, to upper: Double) {
        precondition(lower < upper && (scale == .linear || lower > 0), "an axis cannot go from \(lower) to \(upper)")
        (self.scale, self.lower, self.upper) = (scale, lower, upper)
    }

    /// Beyond 10³⁰⁰ differences overflow.
    static func isPlaceable(_ value: Double, _ scale: AxisScale) -> Bool { abs(value) < 1e300 && (scale == .linear || value > 1e-300) }

    /// 0 at the lower end, 1 at the upper; nil for what has no place on the axis.
    package func position(_ value: Double) -> Double? {
        guard Self.isPlaceable(value, scale) else { return nil }
        return scale == .linear ? (value - lower) / (upper - lower) : log(value / lower) / log(upper / lower)
    }

    /// The extent in the axis' own measure: a difference, or a number of powers of e.
    var length: Double { scale == .linear ? upper - lower : log(upper / lower) }

    /// About `count` round numbers within the range.
    package func ticks(about count: Int) -> [Double] {
        if scale == .logarithmic, upper / lower > 8 { return decadeTicks(about: count) }
        let step = Self.roundStep(over: upper - lower, about: count)
        guard step > 0 else { return [] }
        let first = (lower / step).rounded(.up), last = (upper / step).rounded(.down)
        guard last - first < 100, last >= first else { return [] }
        return (0...Int(last - first)).map { (first + Double($0)) * step }
    }

    /// 1, 2 or 5 times a power of ten, so that a range has about `count` of it.
    static func roundStep(over range: Double, about count: Int) -> Double {
        let rough = range / Double(max(1, count)), magnitude = pow(10, floor(log10(rough)))
        let leading = rough / magnitude
        return magnitude * (leading < 1.5 ? 1 : leading < 3.5 ? 2 : leading < 7.5 ? 5 : 10)
    }

    private func decadeTicks(about count: Int) -> [Double] {
        let decades = Int(floor(log10(lower) + 1e-9))...Int(ceil(log10(upper) - 1e-9))
        let leading: [Double] = log10(upper / lower) < Double(count) / 2 ? [1, 2, 5] : [1]
        let every = max(1, decades.count / max(1, count))
        return decades.filter { $0 % every == 0 }.flatMap { decade in leading.map { $0 * pow(10, Double(decade)) } }
            .filter { $0 >= lower * 0.999999 && $0 <= upper * 1.000001 }
    }

    /// The numbers as they are written beside the axis, all with the digits that tell neighbours apart.
    package func labels(_ ticks: [Double]) -> [String] {
        let step = ticks.count > 1 ? zip(ticks, ticks.dropFirst()).map { $1 - $0 }.min()! : abs(ticks.first ?? 1)
        let largest = ticks.map(abs).max() ?? 0
        if largest >= 1e6 || (largest > 0 && largest < 2e-3) || scale == .logarithmic { return ticks.map { Self.short($0) } }
        if largest >= 10_000, step >= 100 { return ticks.map { $0 == 0 ? "0" : format("%.*f", step >= 1000 ? 0 : 1, $0 / 1000) + "k" } }
        let digits = max(0, Int(ceil(-log10(max(step, 1e-12)) - 1e-9)))
        return ticks.map { format("%.*f", min(digits, 9), $0 == 0 ? 0 : $0) }
    }

    /// Three digits, with a power of ten when the number is very small or large: `0.083`, `1e-4`, `2.5e6`.
    package static func short(_ value: Double) -> String {
        if value == 0 { return "0" }
        let size = abs(value)
        if size >= 1e-3 && size < 1e5 {
            let digits = max(0, 2 - Int(floor(log10(size))))
            let text = format("%.*f", digits, value)
            return text.contains(".") ? trimmed(text) : text
        }
        let parts = format("%.2e", value).split(separator: "e")
        guard parts.count == 2, let exponent = Int(parts[1]) else { return "\(value)" }
        return trimmed(String(parts[0])) + "e\(exponent)"
    }

    private static func trimmed(_ text: String) -> String {
        var text = text
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }
}

/// `printf` without Foundation.
private func format(_ pattern: String, _ arguments: CVarArg...) -> String {
    var buffer = [CChar](repeating: 0, count: 400)
    let count = withVaList(arguments) { vsnprintf(&buffer, buffer.count, pattern, $0) }
    return String(decoding: buffer.prefix(max(0, Int(count))).map(UInt8.init(bitPattern:)), as: UTF8.self)
}
