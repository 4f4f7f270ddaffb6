import CCompute

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
        if dtype != .float32 { return detached().converted(to: .float32).transposed(axes).converted(to: dtype) }
        let result = Tensor(uninitialized: axes.map { shape[$0] })
        cc_transpose(Int32(rank), shape, axes.map(Int32.init), floats, result.floats)
        let inverse = axes.indices.sorted { axes[$0] < axes[$1] }
        return record("transposed", result) { $0.transposed(inverse) }
    }

    /// Tensors one after the other along `axis`; their other sizes must agree.
    /// - Gradient: each gets its part of `dy`.
    public static func concatenated(_ parts: [Tensor], axis: Int) -> Tensor {
        require(!parts.isEmpty, "concatenated: no tensors")
        let axis = parts[0].checkedAxis(axis, "concatenated")
        var shape = parts[0].shape
        for part in parts.dropFirst() {
            require(part.rank == shape.count && part.dtype == parts[0].dtype
                        && shape.indices.allSatisfy { $0 == axis || part.shape[$0] == parts[0].shape[$0] },
                    "concatenated: \(parts.map(\.shape)) along axis \(axis)")
            shape[axis] += part.shape[axis]
        }
        let type = parts[0].dtype
        let result = Tensor(shape: shape, dtype: type, storage: Storage(byteCount: shape.product * type.byteSize))
        let outer = shape[..<axis].reduce(1, *), row = shape[axis...].reduce(1, *)
        var offset = 0
        for part in parts {
            let width = part.shape[axis...].reduce(1, *)
            Compute.copyRows(type, rows: outer, width: width, part.storage.pointer, width, to: result.storage.pointer + offset * type.byteSize, row)
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
            if result == nil { result = Tensor(uninitialized: [count, width]) }
            cc_copy_rows(part.shape[0], width, part.floats, width, result!.floats + start * width, width)
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
        let result = Tensor(shape: size, dtype: dtype, storage: Storage(byteCount: size.product * dtype.byteSize))
        Compute.copyRows(dtype, rows: outer, width: width, storage.pointer + start * inner * dtype.byteSize, row, to: result.storage.pointer, width)
        let shape = shape
        return record("sliced", result) { dy in
            let dx = Tensor.zeros(shape)
            cc_copy_rows(outer, width, dy.floats, width, dx.floats + start * inner, row)
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
            let y = Tensor(shape: target, dtype: .float32, storage: Compute.stretch(detached().reshaped(together), to: spread).storage)
            return record("upsampledNearest", y) { dy in dy.reshaped(spread).summed(to: together).reshaped([b, h, w, c]) }
        }
        let y = Tensor(uninitialized: target)
        cc_upsample2(b, h, w, c, floats, y.floats)
        return record("upsampledNearest", y) { dy in
            let dx = Tensor(uninitialized: [b, h, w, c])
            cc_upsample2_backward(b, h, w, c, dy.floats, dx.floats)
            return dx
        }
    }
}

extension Compute {
    /// `rows` runs of `width` elements of `type`, `sourceRow` and `targetRow` elements apart.
    static func copyRows(_ type: DType, rows: Int, width: Int, _ source: UnsafeRawPointer, _ sourceRow: Int, to target: UnsafeMutableRawPointer, _ targetRow: Int) {
        if type == .float32 {
            cc_copy_rows(rows, width, source.assumingMemoryBound(to: Float.self), sourceRow, target.assumingMemoryBound(to: Float.self), targetRow)
            return
        }
        let size = type.byteSize
        for row in 0..<rows { (target + row * targetRow * size).copyMemory(from: source + row * sourceRow * size, byteCount: width * size) }
    }
}
