import Glibc

/// What the ops of this thread do with their pullbacks.
final class GradientMode {
    enum Kind {
        case recording
        /// Nothing is recorded.
        case off
        /// Nothing is recorded, but nodes that recording would have connected to are noted: what a checkpoint captures.
        case tracing
    }
    var kind = Kind.recording
    var traced: [UInt64: Node] = [:]
    /// Takes in what a checkpoint's first pass keeps.
    var keeping: KeptValues?
    /// Gives a checkpoint's second pass what the first has kept.
    var recalling: KeptValues?

    /// This thread's mode.
    static var current: GradientMode {
        if let pointer = pthread_getspecific(key) { return Unmanaged<GradientMode>.fromOpaque(pointer).takeUnretainedValue() }
        let made = GradientMode()
        pthread_setspecific(key, Unmanaged.passRetained(made).toOpaque())
        return made
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key) { Unmanaged<GradientMode>.fromOpaque($0!).release() }
        return key
    }()

    func with<R>(_ kind: Kind, _ body: () throws -> R) rethrows -> R {
        let before = self.kind
        self.kind = kind
        defer { self.kind = before }
        return try body()
    }
}

/// Runs `body` without recording anything on this thread: inference, and the inside of pullbacks.
public func withoutGradients<R>(_ body: () throws -> R) rethrows -> R {
    try GradientMode.current.with(.off, body)
}

extension Tensor {
    /// Bytes of the elements.
    public var byteCount: Int { count * dtype.byteSize }

    /// `value` as the result of an op over `inputs`, with its pullback if one of them requires gradients and this thread records.
    ///
    /// The pullback runs without recording, so it may be written with ops. It should capture detached tensors only: what it
    /// captures is what the op keeps for the backward pass.
    ///
    /// - Parameters:
    ///   - flops: multiplications and additions that make the value, for `Engine.profile`.
    ///   - isRecalled: whether they were saved this time.
    static func record(
        _ name: StaticString, _ value: Tensor, from inputs: [Tensor], flops: Double = 0, isRecalled: Bool = false, _ pullback: @escaping Node.Pullback
    ) -> Tensor {
        OperationProfile.mark(name, isRecalled ? 0 : flops, value, from: inputs)
        guard inputs.contains(where: { $0.node != nil }) else { return value }
        let mode = GradientMode.current
        switch mode.kind {
        case .off: return value
        case .tracing:
            for input in inputs { if let node = input.node { mode.traced[node.id] = node } }
            return value
        case .recording:
            let node = Node(name, shape: value.shape, inputs: inputs.map(\.node), flops: flops, pullback: pullback)
            return Tensor(shape: value.shape, dtype: value.dtype, storage: value.storage, node: node)
        }
    }

    /// The same for an op of one operand.
    func record(_ name: StaticString, _ value: Tensor, _ pullback: @escaping (Tensor) -> Tensor) -> Tensor {
        Tensor.record(name, value, from: [self]) { dy, _ in [pullback(dy)] }
    }
}
