/// A named weight of a model.
///
/// `tensor` is what layers compute with: a leaf of the graph when the weight is trainable, a plain value when it is frozen.
/// Frozen weights may stay float16 or bfloat16. Values change between steps only, on one thread: that is the reason why the
/// class may cross threads without a lock.
public final class Parameter: @unchecked Sendable {
    /// The checkpoint's key, or the part of it that its owner gave.
    public let name: String

    public var value: Tensor { didSet { makeLeaf() } }

    public var isTrainable: Bool { didSet { makeLeaf() } }

    /// The leaf, or the plain value. It stays the same tensor until `value` or `isTrainable` changes.
    public private(set) var tensor: Tensor

    public init(_ name: String, _ value: Tensor, trainable: Bool = false) {
        self.name = name
        self.value = value.detached()
        isTrainable = trainable
        tensor = trainable ? value.trackingGradient() : self.value
    }

    /// Changes the value by ops that work in place; copies of the old value elsewhere keep it. Makes the leaf anew.
    public func update(_ body: (inout Tensor) -> Void) {
        var current = value
        value = Parameter.empty
        body(&current)
        value = current
    }

    /// Takes the value to a device, which may want frozen matrices and kernels in a type of its own.
    public func move(to device: any Device) {
        guard value.device !== device else { return }
        let moved = value.moved(to: device), isMatrix = value.rank == 2 || value.rank == 4
        value = isMatrix && !isTrainable ? moved.converted(to: device.weightType ?? moved.dtype) : moved
    }

    private static let empty = Tensor.zeros([0])

    private func makeLeaf() { tensor = isTrainable ? value.trackingGradient() : value.detached() }
}
