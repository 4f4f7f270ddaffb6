extension Compute {
    /// `target[o, i] = Σ_j source[o, j, i]` for source `[outer, n, inner]`. The order of additions does not depend on threads.
    static func sumAxis(_ source: UnsafePointer<Float>, outer: Int, n: Int, inner: Int, to target: UnsafeMutablePointer<Float>) {
        guard outer > 0, inner > 0 else { return }
        if n == 0 {
            target.update(repeating: 0, count: outer * inner)
        } else if inner == 1 {
            sumRows(source, rows: outer, n: n, to: target)
        } else {
            sumColumns(source, outer: outer, n: n, inner: inner, to: target)
        }
    }

    /// Elements summed in one go. Sums of blocks are summed in Double, so a mean over a million elements keeps its digits.
    private static let block = 4096

    /// Sums of contiguous rows.
    private static func sumRows(_ source: UnsafePointer<Float>, rows: Int, n: Int, to target: UnsafeMutablePointer<Float>) {
        let blocks = (n + block - 1) / block
        let partial = UnsafeMutablePointer<Double>.allocate(capacity: rows * blocks)
        defer { partial.deallocate() }
        Parallel.run(rows * blocks, grain: max(1, grain / min(n, block))) { range in
            for piece in range {
                let start = piece % blocks * block
                partial[piece] = sum(source + piece / blocks * n + start, count: min(block, n - start))
            }
        }
        for row in 0..<rows {
            var total = 0.0
            for piece in 0..<blocks { total += partial[row * blocks + piece] }
            target[row] = Float(total)
        }
    }

    /// Sum of a short run: eight float lanes, joined in Double.
    static func sum(_ x: UnsafePointer<Float>, count: Int) -> Double {
        var lanes = SIMD16<Float>.zero
        var i = 0
        while i + 16 <= count {
            lanes += UnsafeRawPointer(x + i).loadUnaligned(as: SIMD16<Float>.self)
            i += 16
        }
        var total = 0.0
        for lane in 0..<16 { total += Double(lanes[lane]) }
        while i < count { total += Double(x[i]); i += 1 }
        return total
    }

    /// Sums down the columns: whole rows are added, in blocks of rows when there are many of them.
    private static func sumColumns(_ source: UnsafePointer<Float>, outer: Int, n: Int, inner: Int, to target: UnsafeMutablePointer<Float>) {
        let rowsPerBlock = max(16, grain / inner)
        let blocks = (n + rowsPerBlock - 1) / rowsPerBlock
        if blocks == 1 {
            Parallel.run(outer, grain: max(1, grain / (n * inner))) { range in
                for o in range { addRows(source + o * n * inner, rows: n, inner, to: target + o * inner) }
            }
            return
        }
        let partial = Tensor(uninitialized: [outer * blocks, inner])
        let sums = partial.floats
        Parallel.run(outer * blocks, grain: 1) { range in
            for piece in range {
                let start = piece % blocks * rowsPerBlock
                addRows(source + (piece / blocks * n + start) * inner, rows: min(rowsPerBlock, n - start), inner, to: sums + piece * inner)
            }
        }
        sumColumns(sums, outer: outer, n: blocks, inner: inner, to: target)
    }

    private static func addRows(_ source: UnsafePointer<Float>, rows: Int, _ inner: Int, to target: UnsafeMutablePointer<Float>) {
        target.update(from: source, count: inner)
        for row in 1..<max(1, rows) {
            let x = source + row * inner
            for i in 0..<inner { target[i] += x[i] }
        }
    }
}
