/// Where elements lie in a device's memory, and how each is stored.
///
/// The address is the device's: only that device may follow it.
public struct Elements: @unchecked Sendable {
    public let address: UnsafeMutableRawPointer
    public let type: DType

    @inlinable
    public init(_ address: UnsafeMutableRawPointer, _ type: DType) {
        self.address = address
        self.type = type
    }

    /// `count` elements further on.
    @inlinable
    public static func + (start: Elements, count: Int) -> Elements { Elements(start.address + count * start.type.byteSize, start.type) }
}

/// `count` elements one after the other.
public struct ElementRun: Sendable {
    public let count: Int
    public let start: Elements

    @inlinable
    public init(_ count: Int, _ start: Elements) {
        self.count = count
        self.start = start
    }
}
