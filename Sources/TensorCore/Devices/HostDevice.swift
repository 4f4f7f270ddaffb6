import CCompute
import Glibc

/// The processor: memory is the process's own, and arithmetic is CCompute's.
///
/// Everything is done when a call returns, so nothing is waited for and nothing fails; running out of memory ends the process.
/// Activations are float32; operands of 16 bits are taken where `Device` says so and end the process elsewhere.
public final class HostDevice: Device {
    public static let shared = HostDevice()

    public let name = "cpu"
    public let pool = MemoryPool(HostMemory())
    public var activationType: DType { .float32 }

    private init() {}

    // MARK: Memory

    public func upload(_ byteCount: Int, from host: UnsafeRawPointer, to address: UnsafeMutableRawPointer) {
        copyBytes(byteCount, from: host, to: address)
    }

    public func download(_ byteCount: Int, from address: UnsafeRawPointer, to host: UnsafeMutableRawPointer) {
        copyBytes(byteCount, from: address, to: host)
    }

    public func copy(_ byteCount: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        copyBytes(byteCount, from: source, to: target)
    }

    public func synchronise() {}

    public var failure: DeviceFailure? { nil }
    public func clearFailure() {}
}

/// `memcpy` that stays a call: a plain one is known to touch no reference count, and the optimiser moves the release of the memory's owner
/// before it.
@inline(never)
func copyBytes(_ count: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) { memcpy(target, source, count) }

// MARK: Operands as the loops take them

extension Elements {
    /// The address of float32 elements.
    var floats: UnsafeMutablePointer<Float> {
        require(type == .float32, "an operand is \(type): the processor needs float32 here; convert it first")
        return address.assumingMemoryBound(to: Float.self)
    }

    /// `body` of `count` elements as float32, widened for its length if need be: for biases, scales and shifts, which are small.
    @inline(__always)
    func widened(_ count: Int, _ body: (UnsafePointer<Float>) -> Void) {
        if type == .float32 { return body(address.assumingMemoryBound(to: Float.self)) }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { wide in
            cc_convert(count, address, type.code, wide.baseAddress, CC_F32)
            body(wide.baseAddress!)
        }
    }
}

extension Elements? {
    /// The same of an operand that may be missing.
    @inline(__always)
    func widened(_ count: Int, _ body: (UnsafePointer<Float>?) -> Void) {
        if let operand = self { operand.widened(count) { body($0) } } else { body(nil) }
    }
}

extension DType {
    var code: cc_dtype {
        switch self {
        case .float32: CC_F32
        case .float16: CC_F16
        case .bfloat16: CC_BF16
        }
    }
}
