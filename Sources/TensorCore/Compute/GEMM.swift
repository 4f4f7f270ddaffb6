import COpenBLAS

/// Loops over raw memory. Nothing here knows tensors or gradients; shapes are checked by the ops.
public enum Compute {}

extension Compute {
    /// One operand of a matrix product: memory, elements from row to row, and whether it is read transposed.
    struct Matrix {
        let pointer: UnsafePointer<Float>
        let stride: Int
        let isTransposed: Bool

        init(_ pointer: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
            self.pointer = pointer
            self.stride = stride
            isTransposed = transposed
        }

        /// The same matrix from row `r`, column `c` (of what is read, after transposition) on.
        func from(row r: Int = 0, column c: Int = 0) -> UnsafePointer<Float> {
            pointer + (isTransposed ? c * stride + r : r * stride + c)
        }
    }

    /// `c = α a b + β c` on the calling thread: a is `[m, k]`, b `[k, n]`, c `[m, n]` with `cStride` elements from row to row.
    static func gemmOnThisThread(_ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, _ aStride: Int, _ aTransposed: Bool,
                                 _ b: UnsafePointer<Float>, _ bStride: Int, _ bTransposed: Bool, beta: Float,
                                 _ c: UnsafeMutablePointer<Float>, _ cStride: Int) {
        cblas_sgemm(CblasRowMajor, aTransposed ? CblasTrans : CblasNoTrans, bTransposed ? CblasTrans : CblasNoTrans,
                    Int32(m), Int32(n), Int32(k), alpha, a, Int32(aStride), b, Int32(bStride), beta, c, Int32(cStride))
    }

    /// `c = α a b + β c`, split into tiles of c that the threads share: a is `[m, k]`, b `[k, n]`, c `[m, n]`.
    ///
    /// Splitting outside BLAS beats its own threads wherever m is small (`performance.md`).
    /// - Parameter bias: `[n]`, added to every row; needs `beta` = 0.
    static func gemm(_ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: Matrix, _ b: Matrix, beta: Float = 0,
                     bias: UnsafePointer<Float>? = nil, _ c: UnsafeMutablePointer<Float>, cStride: Int) {
        guard m > 0, n > 0 else { return }
        let (rows, columns) = tile(m, n, k)
        let across = (n + columns - 1) / columns
        let down = (m + rows - 1) / rows
        _ = Parallel.threads
        Parallel.run(across * down, grain: 1) { pieces in
            for piece in pieces {
                let i = piece / across * rows, j = piece % across * columns
                let height = min(rows, m - i), width = min(columns, n - j)
                let target = c + i * cStride + j
                if let bias {
                    for row in 0..<height { (target + row * cStride).update(from: bias + j, count: width) }
                } else if k == 0, beta == 0 {
                    for row in 0..<height { (target + row * cStride).update(repeating: 0, count: width) }
                }
                guard k > 0 else { continue }
                gemmOnThisThread(height, width, k, alpha: alpha, a.from(row: i), a.stride, a.isTransposed,
                                 b.from(column: j), b.stride, b.isTransposed, beta: bias == nil ? beta : 1, target, cStride)
            }
        }
    }

    /// Tile of c that one thread computes at a time: some pieces per thread, none so thin that packing outweighs its product.
    private static func tile(_ m: Int, _ n: Int, _ k: Int) -> (rows: Int, columns: Int) {
        let threads = Parallel.threads
        if threads == 1 || m * n * k < 1 << 16 { return (m, n) }
        var rows = m, columns = n
        while ((m + rows - 1) / rows) * ((n + columns - 1) / columns) < 2 * threads {
            if rows >= columns, rows > 64 {
                rows = (rows / 2 + 15) & ~15
            } else if columns > 64 {
                columns = (columns / 2 + 15) & ~15
            } else if rows > 64 {
                rows = (rows / 2 + 15) & ~15
            } else { break }
        }
        return (rows, columns)
    }
}
