/// `body(inputs)` that keeps next to nothing of its inside for the backward pass, which computes it a second time instead
/// (Chen et al. 2016, arXiv:1604.06174).
///
/// Kept are results of ops that take far longer than they are large (`Tensor.kept`), and the second time they are not computed.
///
/// Gradients flow to `inputs` and to whatever `body` captures (trainable weights, values computed outside). `body` must give
/// the same value both times.
public func checkpointed(_ inputs: [Tensor], _ body: @escaping ([Tensor]) -> Tensor) -> Tensor {
    let mode = GradientMode.current
    let plain = inputs.map { $0.detached() }
    guard mode.kind == .recording else { return body(inputs) }

    let outer = (mode.traced, mode.keeping), kept = KeptValues()
    (mode.traced, mode.keeping) = ([:], kept)
    let value = mode.with(.tracing) { body(plain) }.detached()
    let captured = mode.traced.values.sorted { $0.id < $1.id }
    (mode.traced, mode.keeping) = outer

    let parents: [Node?] = inputs.map(\.node) + captured
    guard parents.contains(where: { $0 != nil }) else { return value }
    let node = Node("checkpointed", shape: value.shape, inputs: parents) { dy, needs in
        let floor = Node.nextID()
        let again = zip(plain, needs).map { $1 ? $0.trackingGradient() : $0 }
        let output = GradientMode.current.with(.recording) { kept.recalled { body(again) } }
        guard let root = output.node else { return parents.map { _ in nil } }
        let wanted = zip(again.map(\.node) + captured, needs).compactMap { $1 ? $0?.id : nil }
        let found = backward(from: [(root, dy)], to: Set(wanted), floor: floor)
        return zip(again.map(\.node) + captured, needs).map { node, isNeeded in isNeeded ? node.flatMap { found[$0.id] } : nil }
    }
    return Tensor(shape: value.shape, dtype: value.dtype, storage: value.storage, node: node)
}

/// What a checkpoint keeps from its first pass, in the order in which the second asks for it.
final class KeptValues {
    private var values: [[Tensor]] = []

    func append(_ value: [Tensor]) { values.append(value) }

    /// Runs `second`, the pass that is given the values of the first.
    fileprivate func recalled(_ second: () -> Tensor) -> Tensor {
        let mode = GradientMode.current, outer = mode.recalling
        values.reverse()
        mode.recalling = self
        defer { mode.recalling = outer }
        return second()
    }

    fileprivate func next() -> [Tensor]? { values.popLast() }
}

extension Tensor {
    /// `make()`, which a checkpoint's first pass keeps for its second; whether this is the second.
    static func kept(_ make: () -> [Tensor]) -> (values: [Tensor], isRecalled: Bool) {
        let mode = GradientMode.current, recalled = mode.recalling?.next(), values = recalled ?? make()
        mode.keeping?.append(values)
        return (values, recalled != nil)
    }
}
