/// A contiguous, row-major array of numbers, with an optional place in the graph that gradients walk.
///
/// Value semantics: ops make new tensors and never change their operands. Images are `[B, H, W, C]`, sequences `[B, T, D]`.
/// A tensor lies on a device, which computes on it; results lie where their operands do and have the first one's type, unless an op says
/// otherwise. An operand of at most 4096 elements in the host's memory is uploaded to the others' device; a larger one must be moved
/// there before (`moved(to:)`).
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
    /// Where the elements lie.
    public var device: any Device { storage.device }
    /// Whether gradients can be taken with respect to something this value was made from.
    public var requiresGradient: Bool { node != nil }
}

// MARK: Making

extension Tensor {
    // What is made of values or bytes lies in the host's memory.

    /// - Parameter values: row-major, as many as `shape` has elements.
    public init(_ values: [Float], shape: [Int]) {
        require(values.count == shape.product, "Tensor: \(values.count) values do not fill \(shape)")
        self.init(shape: shape) { target in _ = target.update(fromContentsOf: values) }
    }

    /// A float32 tensor whose memory `fill` writes; it must write every element.
    public init(shape: [Int], fill: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows {
        self.init(uninitialized: shape, on: HostDevice.shared)
        try fill(UnsafeMutableBufferPointer(start: elements.floats, count: count))
    }

    /// A tensor of any type whose memory `fill` writes; it must write every byte.
    public init(shape: [Int], dtype: DType, fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        self.init(uninitialized: shape, on: HostDevice.shared, type: dtype)
        try fill(UnsafeMutableRawBufferPointer(start: storage.pointer, count: count * dtype.byteSize))
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

    /// Memory of undefined content, for the op that fills it.
    init(uninitialized shape: [Int], on device: any Device, type: DType = .float32) {
        require(shape.allSatisfy { $0 >= 0 }, "Tensor: negative size in \(shape)")
        self.init(shape: shape, dtype: type, storage: Storage(byteCount: shape.product * type.byteSize, on: device))
    }

    /// The same where `other` lies and of its type.
    init(uninitialized shape: [Int], like other: Tensor) { self.init(uninitialized: shape, on: other.storage.device, type: other.dtype) }

    public static func zeros(_ shape: [Int], on device: any Device = HostDevice.shared, type: DType = .float32) -> Tensor {
        full(0, shape, on: device, type: type)
    }

    public static func ones(_ shape: [Int]) -> Tensor { full(1, shape) }

    public static func full(_ value: Float, _ shape: [Int], on device: any Device = HostDevice.shared, type: DType = .float32) -> Tensor {
        let result = Tensor(uninitialized: shape, on: device, type: type)
        device.fill(result.count, value, result.elements)
        return result
    }

    /// A tensor of shape `[]`.
    public static func scalar(_ value: Float) -> Tensor { full(value, []) }
}

// MARK: Reading

extension Tensor {
    /// The elements, for the ops of this module: written only while the op that makes the tensor runs.
    @inline(__always)
    var elements: Elements { Elements(storage.pointer, dtype) }

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

    /// The elements of float32 tensors of one element each, on one device, by a single read.
    public static func items(of scalars: [Tensor]) -> [Float] {
        for scalar in scalars { require(scalar.count == 1, "items: \(scalar.shape) holds \(scalar.count) elements, not one") }
        guard scalars.count > 1, !scalars[0].isOnHost else { return scalars.map { $0.item() } }
        return concatenated(scalars.map { $0.detached().reshaped([1]) }, axis: 0).array
    }

    /// Float32 elements: in place in the host's memory, or a copy there.
    public func withUnsafeFloats<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        let host = copied(to: HostDevice.shared)
        return try withExtendedLifetime(host.storage) { try body(UnsafeBufferPointer(start: host.elements.floats, count: count)) }
    }

    /// The stored bytes, whatever the type: in place in the host's memory, or a copy there.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        let host = copied(to: HostDevice.shared)
        return try withExtendedLifetime(host.storage) {
            try body(UnsafeRawBufferPointer(start: host.storage.pointer, count: count * dtype.byteSize))
        }
    }

    /// The same numbers stored as `target`, rounded to nearest even.
    /// - Gradient: `dy` in the operand's type.
    public func converted(to target: DType) -> Tensor {
        if target == dtype { return self }
        let result = Tensor(uninitialized: shape, on: device, type: target), source = dtype
        device.convert(count, elements, result.elements)
        return record("converted", result) { $0.converted(to: source) }
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
