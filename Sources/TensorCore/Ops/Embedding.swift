extension Tensor {
    /// Rows of `table`, one per index.
    ///
    /// - Parameters:
    ///   - table: `[V, D]` of any type.
    ///   - indices: each in `0..<V`, as many as `shape` has elements.
    /// - Returns: `[shape..., D]`, of the device's type of activations: float32 on the processor.
    /// - Gradient: each row of `dy` is added to its row of the table.
    public static func embedding(_ table: Tensor, _ indices: [Int], shape: [Int]) -> Tensor {
        require(table.rank == 2 && indices.count == shape.product, "embedding: \(indices.count) indices for \(shape), table \(table.shape) is [V, D]")
        let (rows, width) = (table.shape[0], table.shape[1])
        for index in indices { require(index >= 0 && index < rows, "embedding: index \(index) in a table of \(rows) rows") }
        let y = Tensor(uninitialized: shape + [width], on: table.device, type: table.device.activationType)
        table.device.gatherRows(width, table.elements, indices, y.elements)
        return record("embedding", y, from: [table]) { dy, _ in
            let dt = Tensor.zeros([rows, width], on: dy.device)
            dy.device.scatterAddRows(width, dy.elements, indices, dt.elements)
            return [dt]
        }
    }
}
