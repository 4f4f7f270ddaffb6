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
        let result = Tensor(uninitialized: shape + [width])
        let size = table.dtype.byteSize
        for (position, index) in indices.enumerated() {
            Compute.convert(table.storage.pointer + index * width * size, table.dtype, to: result.storage.pointer + position * width * 4, .float32, count: width)
        }
        return record("embedding", result, from: [table]) { dy, _ in
            let dt = Tensor.zeros([rows, width])
            for (position, index) in indices.enumerated() {
                let source = dy.floats + position * width, target = dt.floats + index * width
                for i in 0..<width { target[i] += source[i] }
            }
            return [dt]
        }
    }
}
