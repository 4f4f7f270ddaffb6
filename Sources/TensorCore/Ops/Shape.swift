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
        let result = Tensor(shape: axes.map { shape[$0] }, dtype: dtype, storage: Storage(byteCount: count * dtype.byteSize))
        if dtype == .float32 {
            Compute.transpose(storage.pointer.assumingMemoryBound(to: UInt32.self), shape, axes, to: result.storage.pointer.assumingMemoryBound(to: UInt32.self))
        } else {
            Compute.transpose(storage.pointer.assumingMemoryBound(to: UInt16.self), shape, axes, to: result.storage.pointer.assumingMemoryBound(to: UInt16.self))
        }
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
        let size = parts[0].dtype.byteSize
        let result = Tensor(shape: shape, dtype: parts[0].dtype, storage: Storage(byteCount: shape.product * size))
        let outer = shape[..<axis].reduce(1, *), row = shape[axis...].reduce(1, *) * size
        var offset = 0
        for part in parts {
            let width = part.shape[axis...].reduce(1, *) * size
            Compute.copyRows(part.storage.pointer, width, to: result.storage.pointer + offset, row, rows: outer, bytes: width)
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

    /// Elements `from..<to` along `axis`. Copies.
    /// - Gradient: `dy` in its place, zeros around it.
    public func sliced(axis: Int, from start: Int, to end: Int) -> Tensor {
        let axis = checkedAxis(axis, "sliced")
        require(start >= 0 && start <= end && end <= shape[axis], "sliced: \(start)..<\(end) of axis \(axis) in \(shape)")
        var size = shape
        size[axis] = end - start
        let inner = shape[(axis + 1)...].reduce(1, *) * dtype.byteSize
        let outer = shape[..<axis].reduce(1, *), row = shape[axis] * inner, width = (end - start) * inner
        let result = Tensor(shape: size, dtype: dtype, storage: Storage(byteCount: size.product * dtype.byteSize))
        Compute.copyRows(storage.pointer + start * inner, row, to: result.storage.pointer, width, rows: outer, bytes: width)
        let shape = shape
        return record("sliced", result) { dy in
            let dx = Tensor.zeros(shape)
            Compute.copyRows(dy.storage.pointer, width, to: dx.storage.pointer + start * inner, row, rows: outer, bytes: width)
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
        let result = Tensor(uninitialized: [b, h * factor, w * factor, c])
        let source = floats, target = result.floats
        Parallel.run(b * h, grain: max(1, Compute.grain / max(1, w * c * factor * factor))) { rows in
            for row in rows {
                let first = target + row * factor * w * factor * c
                for x in 0..<w {
                    for copy in 0..<factor { (first + (x * factor + copy) * c).update(from: source + (row * w + x) * c, count: c) }
                }
                for copy in 1..<max(1, factor) { (first + copy * w * factor * c).update(from: first, count: w * factor * c) }
            }
        }
        return record("upsampledNearest", result) { dy in
            let dx = Tensor(uninitialized: [b, h, w, c])
            let source = dy.floats, target = dx.floats
            Parallel.run(b * h, grain: max(1, Compute.grain / max(1, w * c * factor * factor))) { rows in
                for row in rows {
                    for x in 0..<w {
                        let sum = target + (row * w + x) * c
                        sum.update(repeating: 0, count: c)
                        for v in 0..<factor {
                            for u in 0..<factor {
                                let part = source + ((row * factor + v) * w * factor + x * factor + u) * c
                                for i in 0..<c { sum[i] += part[i] }
                            }
                        }
                    }
                }
            }
            return dx
        }
    }
}

extension Compute {
    /// `rows` runs of `bytes` bytes, `sourceStep` and `targetStep` bytes apart.
    static func copyRows(_ source: UnsafeRawPointer, _ sourceStep: Int, to target: UnsafeMutableRawPointer, _ targetStep: Int, rows: Int, bytes: Int) {
        guard bytes > 0 else { return }
        Parallel.run(rows, grain: max(1, 4 * grain / bytes)) { range in
            for row in range { (target + row * targetStep).copyMemory(from: source + row * sourceStep, byteCount: bytes) }
        }
    }

    /// Elements of `shape` with the axes in the order `axes`. The innermost run that stays together is copied as one.
    static func transpose<Element: BitwiseCopyable>(_ source: UnsafePointer<Element>, _ shape: [Int], _ axes: [Int], to target: UnsafeMutablePointer<Element>) {
        let total = shape.product
        guard total > 0 else { return }
        var steps = Array(repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { steps[axis] = steps[axis + 1] * shape[axis + 1] }
        var outer = axes, run = 1
        while let last = outer.last, steps[last] == run { run *= shape[last]; outer.removeLast() }
        let sizes = outer.map { shape[$0] }, strides = outer.map { steps[$0] }
        Parallel.run(total / run, grain: max(1, grain / run)) { range in
            for index in range {
                var rest = index, offset = 0
                for axis in sizes.indices.reversed() {
                    offset += rest % sizes[axis] * strides[axis]
                    rest /= sizes[axis]
                }
                if run == 1 { target[index] = source[offset] } else { (target + index * run).update(from: source + offset, count: run) }
            }
        }
    }
}
