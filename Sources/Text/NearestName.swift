/// The candidate a mistyped name most likely meant, or `nil` when none is close.
///
/// Distance: optimal string alignment (insert, delete, replace, swap neighbours cost 1 each), at most a third of the longer name, at least 1 for names of
/// two letters and more. A name that starts a candidate, or that a candidate starts, counts as close too.
public func nearestName(to name: String, among candidates: [String]) -> String? {
    let wanted = normalizedName(name)
    guard !wanted.isEmpty else { return nil }
    var best: (name: String, distance: Int)?
    for candidate in candidates {
        let known = normalizedName(candidate)
        var distance = alignmentDistance(Array(wanted.unicodeScalars.prefix(64)), Array(known.unicodeScalars.prefix(64)))
        let limit = max(1, max(wanted.count, known.count) / 3)
        if distance > limit {
            guard wanted.count >= 2, known.hasPrefix(wanted) || (known.count >= 3 && wanted.hasPrefix(known)) else { continue }
            distance = limit + 1
        }
        if known.count < 2 && distance > 0 { continue }
        if best == nil || distance < best!.distance { best = (candidate, distance) }
    }
    return best?.name
}

/// The form in which names are compared: lower case, `_` for `-`.
package func normalizedName(_ name: String) -> String {
    String(name.lowercased().map { $0 == "-" ? "_" : $0 })
}

private func alignmentDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var beforePrevious = [Int](repeating: 0, count: b.count + 1)
    var previous = Array(0...b.count)
    for i in 0..<a.count {
        var current = [i + 1] + [Int](repeating: 0, count: b.count)
        for j in 0..<b.count {
            let replace = previous[j] + (a[i] == b[j] ? 0 : 1)
            current[j + 1] = min(replace, previous[j + 1] + 1, current[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { current[j + 1] = min(current[j + 1], beforePrevious[j - 1] + 1) }
        }
        beforePrevious = previous
        previous = current
    }
    return previous[b.count]
}
