import CCUDA
import TensorCore

/// What is lent from the pool while one op is queued. It may go back as soon as it is: the next owner's work is queued behind.
struct Loans: ~Copyable {
    private let device: CUDADevice
    private var blocks: [(address: UnsafeMutableRawPointer, capacity: Int)] = []

    init(_ device: CUDADevice) { self.device = device }
    deinit { for block in blocks { device.pool.release(block.address, block.capacity) } }

    /// Memory for `byteCount` bytes; after a failure an address that no launch follows.
    mutating func block(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let capacity = MemoryPool.sizeClass(byteCount)
        guard let address = device.pool.allocate(capacity) else { return UnsafeMutableRawPointer(bitPattern: 64)! }
        blocks.append((address, capacity))
        return address
    }

    /// `count` elements as `type`: where they lie, or converted.
    mutating func operand(_ x: Elements, _ count: Int, as type: DType) -> UnsafeMutableRawPointer {
        if x.type == type { return x.address }
        let converted = Elements(block(count * type.byteSize), type)
        device.convert(count, x, converted)
        return converted.address
    }

    mutating func operand(_ x: Elements?, _ count: Int, as type: DType) -> UnsafeMutableRawPointer? { x.map { operand($0, count, as: type) } }

    /// The host's numbers on the card.
    mutating func upload<T>(_ values: [T]) -> UnsafeMutableRawPointer {
        let bytes = values.count * MemoryLayout<T>.stride, target = block(bytes)
        values.withUnsafeBytes { if bytes > 0 { device.upload(bytes, from: $0.baseAddress!, to: target) } }
        return target
    }
}

extension CUDADevice {
    /// A weight as `type`: where it lies, or a copy that stays as long as the weight does.
    func weight(_ x: Elements, _ count: Int, as type: DType) -> UnsafeMutableRawPointer {
        if x.type == type { return x.address }
        if let copy = memory.copies.find(x.address, type, channelsLast: false) { return copy }
        return keep(x.address, count, type, channelsLast: false) { self.convert(count, x, $0) }
    }

    func weight(_ x: Elements?, _ count: Int, as type: DType) -> UnsafeMutableRawPointer? { x.map { weight($0, count, as: type) } }

    /// A convolution's weight `[Cout, Cin, kH, kW]` as `[Cout, kH, kW, Cin]`, which is the same memory where a kernel is one pixel.
    func kernel(_ w: Elements, _ c: ConvolutionSizes, as type: DType) -> UnsafeMutableRawPointer {
        let shape = [c.outChannels, c.channels, c.kernelHeight, c.kernelWidth], count = shape.reduce(1, *)
        if c.kernelHeight * c.kernelWidth == 1 { return weight(w, count, as: type) }
        if let copy = memory.copies.find(w.address, type, channelsLast: true) { return copy }
        return keep(w.address, count, type, channelsLast: true) { turned in
            var loans = Loans(self)
            let from = Elements(loans.operand(w, count, as: type), type)
            self.transpose(shape, [0, 2, 3, 1], from, turned)
        }
    }

    /// Fills a block that lives beside the original.
    private func keep(_ original: UnsafeMutableRawPointer, _ count: Int, _ type: DType, channelsLast: Bool, _ fill: (Elements) -> Void) -> UnsafeMutableRawPointer {
        let capacity = MemoryPool.sizeClass(count * type.byteSize)
        guard let address = pool.allocate(capacity) else { return UnsafeMutableRawPointer(bitPattern: 64)! }
        fill(Elements(address, type))
        memory.copies.insert(.init(type: type, hasChannelsLast: channelsLast, address: address, capacity: capacity), of: original)
        return address
    }

    /// For functions that work in place.
    func isWritten(_ x: Elements) { memory.copies.forget(x.address) }
}

extension DType {
    var code: ccuda_type {
        switch self {
        case .float32: CCUDA_F32
        case .float16: CCUDA_F16
        case .bfloat16: CCUDA_BF16
        }
    }

    /// For kernels that only move elements: all 16 bits are alike.
    var width: ccuda_type { self == .float32 ? CCUDA_F32 : CCUDA_BF16 }
}

extension Elements {
    var floats: UnsafeMutablePointer<Float> { address.assumingMemoryBound(to: Float.self) }
}

extension UnsafeMutableRawPointer {
    var floats: UnsafeMutablePointer<Float> { assumingMemoryBound(to: Float.self) }
}
