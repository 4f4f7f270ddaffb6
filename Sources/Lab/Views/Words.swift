import Adapters
import FoundationEssentials

/// Numbers as people read them.
package enum Words {
    /// `1 picture`, `2 pictures`.
    package static func count(_ n: Int, _ one: String, _ many: String? = nil) -> String { "\(grouped(n)) \(n == 1 ? one : many ?? one + "s")" }

    /// `1,234,567`.
    package static func grouped(_ n: Int) -> String {
        let digits = String(n.magnitude)
        let groups = stride(from: digits.count, to: 0, by: -3).map { end in
            String(digits.dropFirst(max(0, end - 3)).prefix(end - max(0, end - 3)))
        }
        return (n < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
    }

    /// `9.4 MiB`, `812 KiB`.
    package static func bytes(_ n: Int) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(n), unit = 0
        while value >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
        return unit == 0 || value >= 100 ? "\(Int(value.rounded())) \(units[unit])" : "\(fixed(value, 1)) \(units[unit])"
    }

    /// `8 s`, `2 min 05 s`, `3 h 20 min`.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite else { return "unknown" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(padded(whole % 60)) s" }
        return "\(whole / 3600) h \(padded(whole % 3600 / 60)) min"
    }

    /// `0.0834`: `places` digits after the point.
    package static func fixed(_ value: Double, _ places: Int) -> String {
        guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = (value.magnitude * scale).rounded()
        guard scaled < 9e15 else { return "\(value)" }
        let whole = Int(scaled), fraction = String(whole % Int(scale))
        let sign = value < 0 && whole > 0 ? "-" : ""
        return places == 0 ? "\(sign)\(whole)" : "\(sign)\(whole / Int(scale)).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
    }

    /// A learning rate: `1e-4`, `2.5e-5`, `0.01`.
    package static func rate(_ value: Double) -> String {
        guard value != 0, value.magnitude < 0.01 else { return "\(value)" }
        var mantissa = value, exponent = 0
        while mantissa.magnitude < 0.9999995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
        var digits = fixed(mantissa, 3)
        while digits.last == "0" { digits.removeLast() }
        if digits.last == "." { digits.removeLast() }
        return "\(digits)e\(exponent)"
    }

    /// What an adapter is: `LoRA`, `LoHa, LoRA`.
    static func kinds(_ network: AdapterNetwork) -> String {
        network.modules.count == network.adapters.count ? network.networkKind.title : network.kinds.map(\.rawValue).joined(separator: ", ")
    }

    /// `rank 8, alpha 4.00`.
    static func size(_ network: AdapterNetwork) -> String {
        guard let size = network.size else { return "no rank" }
        return "rank \(network.hasMixedRanks ? "mixed" : String(size.rank)), alpha \(fixed(Double(size.alpha), 2))"
    }

    private static func padded(_ n: Int) -> String { n < 10 ? "0\(n)" : "\(n)" }
}
