// What training does to memory in place, where nobody else holds it; else to a copy. Nothing is recorded.

extension Tensor {
    /// Adds `part` `[B, h, w, C]` to the place of this picture `[B, H, W, C]` that begins at `row` and `column`.
    public mutating func add(_ part: Tensor, atRow row: Int, column: Int) {
        require(rank == 4 && part.rank == 4 && part.shape[0] == shape[0] && part.shape[3] == shape[3] && row >= 0 && column >= 0
                    && row + part.shape[1] <= shape[1] && column + part.shape[2] <= shape[2],
                "add: \(part.shape) at row \(row), column \(column) of \(shape)")
        let part = part.beside(self, "add"), (height, width, channels) = (part.shape[1], part.shape[2], shape[3])
        makeUnique()
        for picture in 0..<shape[0] {
            let source = part.elements + picture * height * width * channels
            let target = elements + ((picture * shape[1] + row) * shape[2] + column) * channels
            device.addRows(height, width * channels, source, width * channels, target, shape[2] * channels)
        }
    }

    /// One step of AdamW for this weight.
    ///
    /// - Parameters:
    ///   - mean, square: the running means of the gradient and of its square, both of the weight's shape; zeros before step 1.
    public mutating func adamW(_ step: AdamWStep, gradient: Tensor, mean: inout Tensor, square: inout Tensor) {
        require(shape == gradient.shape && shape == mean.shape && shape == square.shape,
                "adamW: weight \(shape), gradient \(gradient.shape), means \(mean.shape) and \(square.shape)")
        require(isTogether(with: gradient, mean, square), "adamW: weight, gradient and means of several devices")
        makeUnique()
        mean.makeUnique()
        square.makeUnique()
        device.adamW(count, step, gradient: gradient.elements, weight: elements, mean: mean.elements, square: square.elements)
    }

    /// Multiplies gradients by `limit / (norm + 1e-6)` where that is below 1.
    ///
    /// - Parameter norm: that of all of them, of shape `[]`.
    public static func clip(_ gradients: inout [Tensor], norm: Tensor, limit: Float) {
        guard let device = gradients.first?.device else { return }
        require(gradients.allSatisfy { $0.device === device } && norm.device === device, "clip: tensors of several devices")
        for index in gradients.indices { gradients[index].makeUnique() }
        device.clip(gradients.map { ElementRun($0.count, $0.elements) }, norm: norm.elements, limit: limit)
    }

    /// Takes memory of its own unless nobody else holds it. On a device without room, which has failed then, all stays as it was.
    mutating func makeUnique() {
        if isKnownUniquelyReferenced(&storage), storage.isWritable { return }
        let copy = Tensor(uninitialized: shape, like: self)
        guard copy.storage.isThere else { return }
        withExtendedLifetime(storage) { device.copy(byteCount, from: $0.pointer, to: copy.storage.pointer) }
        self = copy
    }
}
