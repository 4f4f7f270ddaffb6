import CCUDA
import TensorCore

/// An NVIDIA card: CUDA's driver, own kernels, cuBLASLt and cuDNN (`CCUDA`), all opened when a card is.
///
/// - Work is queued and runs while the host goes on; `download` and `synchronise` wait.
/// - With `precision` bfloat16, activations and frozen matrices are stored in 16 bits and products use the card's matrix units; sums, statistics,
///   losses, trained weights, their gradients and moments are float32. With float32 everything is, without TF32: for comparison.
/// - An operand of another type than its kernel takes is converted on the way.
public final class CUDADevice: Device, @unchecked Sendable {
    /// How activations and frozen matrices are stored.
    public enum Precision: String, Sendable, CaseIterable { case float32, bfloat16 }

    public let name: String
    public let precision: Precision
    public let pool: MemoryPool
    public var activationType: DType { precision == .bfloat16 ? .bfloat16 : .float32 }
    public var weightType: DType? { activationType }

    let context: OpaquePointer
    let memory: CUDAMemory

    /// Opens card `index` (0…) and compiles the kernels, which a cache makes quick the second time.
    ///
    /// - Throws: `CUDAError`, which names what is missing, where it was looked for and how to get it.
    public static func open(index: Int = 0, precision: Precision = .bfloat16) throws(CUDAError) -> CUDADevice {
        var error = ccuda_error()
        guard let context = ccuda_open(Int32(clamping: index), &error) else { throw CUDAError(error) }
        guard ccuda_load_all_kernels(context) else {
            let error = ccuda_failure(context).map { CUDAError($0.pointee) } ?? CUDAError(error)
            ccuda_close(context)
            throw error
        }
        return CUDADevice(context, name: "cuda:\(index)", precision)
    }

    private init(_ context: OpaquePointer, name: String, _ precision: Precision) {
        self.context = context
        self.name = name
        self.precision = precision
        memory = CUDAMemory(context, name: name)
        pool = MemoryPool(memory)
        memory.copies.live(in: pool)
    }

    deinit {
        memory.giveBackAll()
        ccuda_close(context)
    }

    /// Whether the first product, convolution or attention of a shape tries the best ways and keeps the fastest; off at first.
    public func setTuning(_ tunes: Bool) { ccuda_set_tuning(context, tunes) }

    // MARK: Memory

    public func upload(_ byteCount: Int, from host: UnsafeRawPointer, to address: UnsafeMutableRawPointer) { ccuda_upload(context, address, host, byteCount) }
    public func download(_ byteCount: Int, from address: UnsafeRawPointer, to host: UnsafeMutableRawPointer) { ccuda_download(context, host, address, byteCount) }
    public func copy(_ byteCount: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) { ccuda_copy(context, target, source, byteCount) }
    public func synchronise() { _ = ccuda_synchronize(context) }

    // MARK: Failure

    public var failure: DeviceFailure? {
        guard let failure = ccuda_failure(context) else { return nil }
        switch failure.pointee.kind {
        case CCUDA_NO_MEMORY:
            let (bytes, inUse) = memory.exhausted
            return .outOfMemory(device: name, bytes: bytes, inUse: max(inUse, pool.bytesInUse))
        case CCUDA_SPOILED: return .lost(device: name, reason: failure.pointee.message)
        default: return .refused(device: name, reason: failure.pointee.message)
        }
    }

    public func clearFailure() {
        if ccuda_failure(context) != nil { _ = ccuda_clear_failure(context) }
    }
}

// MARK: - What is there

/// A card and its memory as of now.
public struct CUDAProperties: Sendable, Equatable {
    /// As NVIDIA calls it.
    public var name: String
    /// Compute capability, 90 for 9.0.
    public var capability: Int
    /// Bytes of memory, all and now free.
    public var memory: Int, memoryFree: Int

    init(_ p: ccuda_properties) {
        name = withUnsafeBytes(of: p.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        (capability, memory, memoryFree) = (Int(p.capability), p.memory, p.memoryFree)
    }
}

/// One of NVIDIA's libraries, as found.
public struct CUDALibrary: Sendable, Equatable {
    /// "driver", "NVRTC", "cuBLASLt", "cuDNN".
    public var name: String
    public var isFound: Bool
    public var version: String
    /// Where it was loaded from; if not found, why not.
    public var path: String
}

extension CUDADevice {
    public var properties: CUDAProperties {
        var p = ccuda_properties()
        ccuda_get_properties(context, &p)
        return CUDAProperties(p)
    }

    /// Bytes that this process has taken from the card's driver for tensors.
    public var bytesReserved: Int { memory.reserved }

    /// The libraries that a card needs, opened if they can be.
    public static func libraries() -> [CUDALibrary] {
        var found = [ccuda_library](repeating: ccuda_library(), count: CCUDA_LIBRARIES)
        ccuda_find_libraries(&found)
        func text<T>(_ tuple: T) -> String { withUnsafeBytes(of: tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } }
        return found.map { CUDALibrary(name: text($0.name), isFound: $0.found, version: text($0.version), path: text($0.path)) }
    }

    /// The cards that the driver sees.
    public static func cards() throws(CUDAError) -> [CUDAProperties] {
        var error = ccuda_error(), result: [CUDAProperties] = []
        for index in 0..<ccuda_device_count(&error) {
            var p = ccuda_properties()
            if ccuda_describe(index, &p, &error) { result.append(CUDAProperties(p)) }
        }
        if result.isEmpty { throw CUDAError(error) }
        return result
    }
}
