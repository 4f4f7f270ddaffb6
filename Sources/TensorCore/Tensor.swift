import Glibc

/// A contiguous, row-major array of numbers, with an optional place in the graph that gradients walk.
///
/// Value semantics: ops make new tensors and never change their operands. Images are `[B, H, W, C]`, sequences `[B, T, D]`.
/// A shape that an op cannot take is a programming error and ends the process with both shapes in the message; what users
/// give is checked above this module.
public struct Tensor: @unchecked Sendable {
    /// Sizes, outermost first; `[]` for a scalar.
    public let shape: [Int]
    public let dtype: DType
    var storage: Storage
    /// Where this value stands in the graph; nil when no gradient can flow through it.
    let node: Node?

    init(shape: [Int], dtype: DType, storage: Storage, node: Node? = nil) {
        self.shape = shape
        self.dtype = dtype
        self.storage = storage
        self.node = node
    }

    /// Elements, not bytes: 1 for a scalar, 0 when any size is 0.
    public var count: Int { shape.product }
    public var rank: Int { shape.count }
    /// Whether gradients can be taken with respect to something this value was made from.
    public var requiresGradient: Bool { node != nil }
}

// MARK: Making

extension Tensor {
    /// - Parameter values: row-major, as many as `shape` has elements.
    public init(_ values: [Float], shape: [Int]) {
        require(values.count == shape.product, "Tensor: \(values.count) values do not fill \(shape)")
        self.init(shape: shape) { target in _ = target.update(fromContentsOf: values) }
    }

    /// A float32 tensor whose memory `fill` writes; it must write every element.
    public init(shape: [Int], fill: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows {
        self.init(uninitialized: shape)
        try fill(UnsafeMutableBufferPointer(start: floats, count: count))
    }

    /// A tensor of any type whose memory `fill` writes; it must write every byte.
    public init(shape: [Int], dtype: DType, fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        let size = shape.product * dtype.byteSize
        self.init(shape: shape, dtype: dtype, storage: Storage(byteCount: size))
        try fill(UnsafeMutableRawBufferPointer(start: storage.pointer, count: size))
    }

    /// Copies `bytes`, elements of type `dtype` in native byte order.
    public init(shape: [Int], dtype: DType, bytes: UnsafeRawBufferPointer) {
        let size = shape.product * dtype.byteSize
        require(bytes.count == size, "Tensor: \(bytes.count) bytes do not fill \(shape) of \(dtype), \(size) bytes")
        self.init(shape: shape, dtype: dtype) { $0.copyMemory(from: bytes) }
    }

    /// Elements where they lie, in memory that `owner` keeps as long as it lives; nothing is copied and nothing is ever written there.
    ///
    /// - Parameter bytes: elements of type `dtype` in native byte order, at a multiple of their size.
    public init(shape: [Int], dtype: DType, borrowing bytes: UnsafeRawBufferPointer, from owner: AnyObject) {
        let size = shape.product * dtype.byteSize
        require(bytes.count == size && size > 0, "Tensor: \(bytes.count) bytes do not fill \(shape) of \(dtype), \(size) bytes")
        require(UInt(bitPattern: bytes.baseAddress!) % UInt(dtype.byteSize) == 0, "Tensor: memory at \(bytes.baseAddress!) is not aligned to \(dtype)")
        self.init(shape: shape, dtype: dtype, storage: Storage(borrowing: bytes.baseAddress!, from: owner))
    }

    /// For what is not needed for a while: pages of a mapped file leave the process's memory until they are touched again. Other memory
    /// stays as it is.
    public func releasePages() { storage.releasePages() }

    /// Float32 memory of undefined content, for the op that fills it.
    init(uninitialized shape: [Int]) {
        require(shape.allSatisfy { $0 >= 0 }, "Tensor: negative size in \(shape)")
        self.init(shape: shape, dtype: .float32, storage: Storage(byteCount: shape.product * 4))
    }

    public static func zeros(_ shape: [Int]) -> Tensor {
        let result = Tensor(uninitialized: shape)
        memset(result.storage.pointer, 0, result.count * 4)
        return result
    }

    public static func ones(_ shape: [Int]) -> Tensor { full(1, shape) }

    public static func full(_ value: Float, _ shape: [Int]) -> Tensor {
        Tensor(shape: shape) { $0.update(repeating: value) }
    }

    /// A tensor of shape `[]`.
    public static func scalar(_ value: Float) -> Tensor { full(value, []) }
}

// MARK: Reading

extension Tensor {
    /// The float32 elements, for the ops of this module: written only while the op that makes the tensor runs.
    var floats: UnsafeMutablePointer<Float> {
        require(dtype == .float32, "\(shape) of \(dtype): float32 is needed here; convert it first")
        return storage.pointer.assumingMemoryBound(to: Float.self)
    }

    /// A copy of the elements as float32, whatever the stored type.
    public var array: [Float] {
        let source = dtype == .float32 ? self : detached().converted(to: .float32)
        return source.withUnsafeFloats(Array.init)
    }

    /// The only element of a tensor of one element.
    public func item() -> Float {
        require(count == 1, "item: \(shape) holds \(count) elements, not one")
        return array[0]
    }

    /// Float32 elements in place.
    public func withUnsafeFloats<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        try withExtendedLifetime(storage) { try body(UnsafeBufferPointer(start: floats, count: count)) }
    }

    /// The stored bytes in place, whatever the type.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(storage) {
            try body(UnsafeRawBufferPointer(start: storage.pointer, count: count * dtype.byteSize))
        }
    }

    /// The same numbers stored as `target`, rounded to nearest even. No gradient flows through a change of type.
    public func converted(to target: DType) -> Tensor {
        if target == dtype { return self }
        let result = Tensor(shape: shape, dtype: target, storage: Storage(byteCount: count * target.byteSize))
        Compute.convert(storage.pointer, dtype, to: result.storage.pointer, target, count: count)
        return result
    }

    /// The same value, cut off from the graph. Shares memory.
    public func detached() -> Tensor { Tensor(shape: shape, dtype: dtype, storage: storage) }

    /// The same value as a new leaf, for `gradients(of:for:)`. Shares memory.
    public func trackingGradient() -> Tensor {
        require(dtype == .float32, "trackingGradient: \(shape) is \(dtype); gradients need float32")
        return Tensor(shape: shape, dtype: dtype, storage: storage, node: Node(leaf: shape))
    }
}

extension Tensor: CustomStringConvertible {
    public var description: String {
        let head = detached().array.prefix(8).map { "\($0)" }.joined(separator: ", ")
        return "Tensor\(shape) \(dtype) [\(head)\(count > 8 ? ", …" : "")]"
    }
}

// MARK: Shapes

extension Array where Element == Int {
    /// 1 for an empty shape.
    var product: Int { reduce(1, *) }
}

/// Ends the process with `message` unless `condition` holds. Unlike `precondition` it stays in optimised builds, where this
/// module's inner loops run without checks: ops call it at their borders.
@inline(__always)
func require(_ condition: Bool, _ message: @autoclosure () -> String, file: StaticString = #file, line: UInt = #line) {
    if !condition { fatalError(message(), file: file, line: line) }
}
