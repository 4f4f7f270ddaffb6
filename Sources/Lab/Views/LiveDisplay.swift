import Dispatch
import Kernel

/// One place below a cell whose content is replaced while work goes on, not more often than eyes and network can follow.
final class LiveDisplay {
    private let cell: CellContext
    private let id: String
    private var isShown = false
    private var nextTime: UInt64 = 0

    /// Seconds between two updates at least.
    private static let pause = 0.5
    /// Drawing may take this share of the time at most.
    private static let share = 0.07

    /// - Parameters:
    ///   - name: tells the displays of one cell apart.
    ///   - delay: seconds before anything is shown: work that is done by then needs no display.
    init(_ cell: CellContext, _ name: String, after delay: Double = 0) {
        self.cell = cell
        nextTime = DispatchTime.now().uptimeNanoseconds + UInt64(delay * 1e9)
        id = "\(name)-\(cell.executionCount)-\(UInt32.random(in: 0 ... .max))"
    }

    /// Shows what `make` returns, unless the last time is too short ago; `always` shows it in any case.
    func show(always: Bool = false, _ make: () throws -> DisplayData) rethrows {
        let start = DispatchTime.now().uptimeNanoseconds
        guard always || start >= nextTime else { return }
        let data = try make()
        if isShown { cell.update(data, id: id) } else { cell.display(data, id: id) }
        isShown = true
        let end = DispatchTime.now().uptimeNanoseconds
        nextTime = end + UInt64(max(Self.pause * 1e9, Double(end - start) / Self.share))
    }
}
