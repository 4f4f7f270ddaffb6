import COpenBLAS

extension Tensor {
    /// Thin singular value decomposition `A = U · diag(s) · Vᵀ` of a matrix `[m, n]`, computed on the processor in Double by LAPACK's `gesdd`.
    ///
    /// - Returns: U `[m, k]`, s with the k = min(m, n) values in descending order, Vᵀ `[k, n]`. No gradient flows through it.
    public func svd() -> (u: Tensor, values: [Float], vt: Tensor) {
        require(rank == 2, "svd: \(shape) is not a matrix")
        let m = shape[0], n = shape[1], k = min(m, n)
        guard k > 0 else { return (.zeros([m, 0], on: device), [], .zeros([0, n], on: device)) }
        // LAPACK counts by columns: it sees Aᵀ = V · diag(s) · Uᵀ, so its U is our Vᵀ in rows and its Vᵀ is our U in rows.
        var a = array.map(Double.init)
        var s = [Double](repeating: 0, count: k)
        var v = [Double](repeating: 0, count: n * k), u = [Double](repeating: 0, count: k * m)
        var integers = [Int32](repeating: 0, count: 8 * k)
        let rows = Int32(n), columns = Int32(m), inner = Int32(k)
        var info: Int32 = 0

        func solve(_ work: inout [Double], _ size: Int32) {
            withUnsafePointer(to: rows) { rows in
                withUnsafePointer(to: columns) { columns in
                    withUnsafePointer(to: inner) { inner in
                        withUnsafePointer(to: size) { size in
                            dgesdd_("S", rows, columns, &a, rows, &s, &v, rows, &u, inner, &work, size, &integers, &info)
                        }
                    }
                }
            }
        }
        var work = [0.0]
        solve(&work, -1)                            // asks how much room is best
        let size = Int32(work[0])
        work = [Double](repeating: 0, count: Int(size))
        solve(&work, size)
        require(info == 0, "svd: \(shape) did not converge (gesdd \(info)); is every element finite?")
        func tensor(_ values: [Double], _ shape: [Int]) -> Tensor { Tensor(values.map { Float($0) }, shape: shape).moved(to: device) }
        return (tensor(u, [m, k]), s.map { Float($0) }, tensor(v, [k, n]))
    }
}
