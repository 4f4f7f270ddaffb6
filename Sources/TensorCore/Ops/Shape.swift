// Ops that move elements and change none.

extension Tensor {
    /// The same elements under another shape; one size may be −1 and is worked out. Shares memory.
    public func reshaped(_ target: [Int]) -> Tensor {
        var sizes = target
        if let open = target.firstIndex(of: -1) {
            let rest = target.reduce(1) { $1 == -1 ? $0 : $0 * $1 }
            require(target.filter { $0 == -1 }.count == 1 && rest > 0 && count % rest == 0, "reshaped: \(shape) does not fit \(target)")
            sizes[open] = count / rest
        }
        require(sizes.product == count, "reshaped: \(shape) does not fit \(target)")
        let shape = shape
        return record("reshaped", Tensor(shape: sizes, dtype: dtype, storage: storage)) { $0.reshaped(shape) }
    }

    /// Axis `axes[i]` of the operand becomes axis `i`; all axes must be named once. Copies.
    /// - Gradient: `dy` transposed by the inverse permutation.
    public func transposed(_ axes: [Int]) -> Tensor {
        require(axes.sorted() == Array(0..<rank), "transposed: \(axes) is no permutation of the axes of \(shape)")
        let result = Tensor(uninitialized: axes.map { shape[$0] }, like: self)
        device.transpose(shape, axes, elements, result.elements)
        let inverse = axes.indices.sorted { axes[$0] < axes[$1] }
        return record("transposed", result) { $0.transposed(inverse) }
    }

    /// Tensors one after the other along `axis`; their other sizes must agree.
    /// - Gradient: each gets its part of `dy`.
    public static func concatenated(_ parts: [Tensor], axis: Int) -> Tensor {
        require(!parts.isEmpty, "concatenated: no tensors")
        if let parts = united("concatenated", parts) { return concatenated(parts, axis: axis) }
        let axis = parts[0].checkedAxis(axis, "concatenated")
        var shape = parts[0].shape
        for part in parts.dropFirst() {
            require(part.rank == shape.count && part.dtype == parts[0].dtype
                        && shape.indices.allSatisfy { $0 == axis || part.shape[$0] == parts[0].shape[$0] },
                    "concatenated: \(parts.map(\.shape)) along axis \(axis)")
            shape[axis] += part.shape[axis]
        }
        let result = Tensor(uninitialized: shape, like: parts[0])
        let outer = shape[..<axis].reduce(1, *), row = shape[axis...].reduce(1, *)
        var offset = 0
        for part in parts {
            let width = part.shape[axis...].reduce(1, *)
            result.device.copyRows(outer, width, part.elements, width, result.elements + offset, row)
            offset += width
        }
        let sizes = parts.map { $0.shape[axis] }
        return record("concatenated", result, from: parts) { dy, needs in
            var start = 0
            return zip(sizes, needs).map { size, isNeeded in
                defer { start += size }
                return isNeeded ? dy.sliced(axis: axis, from: start, to: start + size) : nil
            }
        }
    }

    /// `body` of float32 rows (the last axis), each of which it treats alone: `rows` at a time where nothing is recorded, so that
    /// what it makes on the way stays small, else all at once.
    ///
    /// - Parameter body: `[n, C]` → `[n, C′]`.
    /// - Returns: `[…, C′]` for `[…, C]`.
    public func mapRows(atMost rows: Int, _ body: (Tensor) -> Tensor) -> Tensor {
        require(rank > 0 && rows > 0, "mapRows: \(rows) at a time of \(shape)")
        let flat = reshaped([shape.dropLast().product, shape.last!]), count = flat.shape[0]
        func shaped(_ result: Tensor) -> Tensor { result.reshaped(shape.dropLast() + [result.shape[1]]) }
        if count <= rows || GradientMode.current.kind == .recording { return shaped(body(flat)) }
        var result: Tensor?
        for start in stride(from: 0, to: count, by: rows) {
            let part = body(flat.sliced(axis: 0, from: start, to: min(start + rows, count))), width = part.shape[1]
            if result == nil { result = Tensor(uninitialized: [count, width], like: part) }
            device.copyRows(part.shape[0], width, part.elements, width, result!.elements + start * width, width)
        }
        return shaped(result!)
    }

    /// Elements `from..<to` along `axis`. Copies.
    /// - Gradient: `dy` in its place, zeros around it.
    public func sliced(axis: Int, from start: Int, to end: Int) -> Tensor {
        let axis = checkedAxis(axis, "sliced")
        require(start >= 0 && start <= end && end <= shape[axis], "sliced: \(start)..<\(end) of axis \(axis) in \(shape)")
        var size = shape
        size[axis] = end - start
        let inner = shape[(axis + 1)...].reduce(1, *)
        let outer = shape[..<axis].reduce(1, *), row = shape[axis] * inner, width = (end - start) * inner
        let result = Tensor(uninitialized: size, like: self)
        device.copyRows(outer, width, elements + start * inner, row, result.elements, width)
        let shape = shape
        return record("sliced", result) { dy in
            let dx = Tensor.zeros(shape, on: dy.device, type: dy.dtype)
            dy.device.copyRows(outer, width, dy.elements, width, dx.elements + start * inner, row)
            return dx
        }
    }

    /// Parts of the given sizes along `axis`, which together make it.
    public func split(axis: Int, sizes: [Int]) -> [Tensor] {
        let axis = checkedAxis(axis, "split")
        require(sizes.reduce(0, +) == shape[axis], "split: sizes \(sizes) of axis \(axis) in \(shape)")
        var start = 0
        return sizes.map { size in
            defer { start += size }
            return sliced(axis: axis, from: start, to: start + size)
        }
    }

    /// Each pixel becomes `factor` × `factor` of them: `[B, H, W, C]` → `[B, factor H, factor W, C]`.
    /// - Gradient: the sum over each such square.
    public func upsampledNearest(_ factor: Int) -> Tensor {
        require(rank == 4 && factor > 0, "upsampledNearest(\(factor)): \(shape) is not [B, H, W, C]")
        let (b, h, w, c) = (shape[0], shape[1], shape[2], shape[3])
        let target = [b, h * factor, w * factor, c]
        guard factor == 2 else {
            let spread = [b, h, factor, w, factor, c], together = [b, h, 1, w, 1, c]
            let y = Tensor(shape: target, dtype: dtype, storage: Compute.stretch(detached().reshaped(together), to: spread, type: dtype).storage)
            return record("upsampledNearest", y) { dy in dy.reshaped(spread).summed(to: together).reshaped([b, h, w, c]) }
        }
        let y = Tensor(uninitialized: target, like: self)
        device.upsample2(b, h, w, c, elements, y.elements)
        return record("upsampledNearest", y) { dy in
            let dx = Tensor(uninitialized: [b, h, w, c], like: dy)
            dy.device.upsample2Backward(b, h, w, c, dy: dy.elements, dx: dx.elements)
            return dx
        }
    }
}
