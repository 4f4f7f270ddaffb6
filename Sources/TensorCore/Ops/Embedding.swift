import CCompute

extension Tensor {
    /// Rows of `table`, one per index.
    ///
    /// - Parameters:
    ///   - table: `[V, D]` of any type.
    ///   - indices: each in `0..<V`, as many as `shape` has elements.
    /// - Returns: float32 `[shape..., D]`.
    /// - Gradient: each row of `dy` is added to its row of the table.
    public static func embedding(_ table: Tensor, _ indices: [Int], shape: [Int]) -> Tensor {
        require(table.rank == 2 && indices.count == shape.product, "embedding: \(indices.count) indices for \(shape), table \(table.shape) is [V, D]")
        let (rows, width) = (table.shape[0], table.shape[1])
        for index in indices { require(index >= 0 && index < rows, "embedding: index \(index) in a table of \(rows) rows") }
        let y = Tensor(uninitialized: shape + [width])
        cc_gather_rows(indices.count, width, table.storage.pointer, table.dtype.code, indices, y.floats)
        return record("embedding", y, from: [table]) { dy, _ in
            let dt = Tensor.zeros([rows, width])
            cc_scatter_add_rows(indices.count, width, dy.floats, indices, dt.floats)
            return [dt]
        }
    }
}
