/// Timesteps of a spacing as numpy computes them, before rounding to whole ones; the noisiest comes first.
enum Timesteps {
    /// `numpy.linspace`.
    static func linspace(_ start: Double, _ stop: Double, _ n: Int) -> [Double] {
        guard n > 1 else { return [start] }
        let step = (stop - start) / Double(n - 1)
        return (0..<n).map { $0 == n - 1 ? stop : start + Double($0) * step }
    }

    /// Descending multiples of a whole ratio, shifted by the offset.
    static func leading(_ n: Int, ratio: Int, offset: Int) -> [Double] { (0..<n).reversed().map { Double($0 * ratio + offset) } }

    /// From the last timestep down in strides of `total / n`, so that the noisiest one is always visited.
    ///
    /// The stride is rounded as `numpy.arange` rounds it, which decides where halves fall. For a few n the rounding leaves room for
    /// one more timestep, −1, which diffusers visits too; it is no timestep of the model and left out here.
    /// - Parameter last: one past the noisiest timestep, `total` unless the schedule is clipped.
    static func trailing(_ n: Int, of total: Int, from last: Int? = nil) -> [Double] {
        let start = Double(last ?? total)
        let stride = (start - Double(total) / Double(n)) - start
        return (0..<n).map { (start + Double($0) * stride).rounded(.toNearestOrEven) - 1 }.filter { $0 >= 0 }
    }

    static func descendingLinspace(_ n: Int, of total: Int) -> [Double] { linspace(0, Double(total - 1), n).reversed() }

    /// The spacing of diffusers' DDIM and PNDM classes: n whole timesteps.
    static func whole(_ n: Int, _ c: SchedulerConfiguration) -> [Int] {
        let total = c.trainTimesteps
        let spread: [Double] = switch c.timestepSpacing ?? .leading {
        case .leading: leading(n, ratio: total / n, offset: c.stepsOffset ?? 0)
        case .trailing: trailing(n, of: total)
        case .linspace: descendingLinspace(n, of: total).map { $0.rounded(.toNearestOrEven) }
        }
        // An offset can carry the first timestep of very many steps past the table; the last entry is meant.
        return spread.map { min(Int($0), total - 1) }
    }
}
