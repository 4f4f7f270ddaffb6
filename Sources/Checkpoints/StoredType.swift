import TensorCore

/// Element types of the safetensors format, in the order of the reference implementation: smallest alignment first.
/// The writer puts tensors of later types first, so the order is part of the file's bytes and hashes.
public enum StoredType: String, Sendable, CaseIterable {
    case bool = "BOOL", f4 = "F4", f6e2m3 = "F6_E2M3", f6e3m2 = "F6_E3M2", u8 = "U8", i8 = "I8"
    case f8e5m2 = "F8_E5M2", f8e4m3 = "F8_E4M3", f8e8m0 = "F8_E8M0"
    case i16 = "I16", u16 = "U16", f16 = "F16", bf16 = "BF16"
    case i32 = "I32", u32 = "U32", f32 = "F32", c64 = "C64", f64 = "F64", i64 = "I64", u64 = "U64"

    public init(_ dtype: DType) {
        switch dtype {
        case .float32: self = .f32
        case .float16: self = .f16
        case .bfloat16: self = .bf16
        }
    }

    /// Bits of one element.
    public var bits: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }

    /// Place in the reference order.
    var order: Int { StoredType.allCases.firstIndex(of: self)! }

    /// The precision in which a `Tensor` holds this type exactly (`F64` is rounded to float32), or nil for what is no float.
    public var tensorType: DType? {
        switch self {
        case .f32, .f64: .float32
        case .f16, .f8e5m2, .f8e4m3: .float16
        case .bf16: .bfloat16
        default: nil
        }
    }

    /// Bytes of `shape` elements, nil when the number does not fit or is no whole number of bytes.
    func byteCount(_ shape: [Int]) -> Int? {
        var total = bits
        for size in shape {
            let (product, overflow) = total.multipliedReportingOverflow(by: size)
            if overflow { return nil }
            total = product
        }
        return total % 8 == 0 ? total / 8 : nil
    }
}

extension StoredType {
    /// A copy of elements that no tensor holds as they are: `F64` becomes float32, 8-bit floats become float16.
    func widened(_ bytes: UnsafeRawBufferPointer, key: String, shape: [Int], file: String) throws(CheckpointError) -> Tensor {
        switch self {
        case .f64: Tensor((0..<bytes.count / 8).map { Float(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self)) }, shape: shape)
        case .f8e5m2: half(bytes, shape: shape) { UInt16($0) << 8 }
        case .f8e4m3: half(bytes, shape: shape, bits: halfBits(e4m3:))
        default: throw .notFloatingPoint(key: key, found: rawValue, file: file)
        }
    }
}

private func half(_ bytes: UnsafeRawBufferPointer, shape: [Int], bits: (UInt8) -> UInt16) -> Tensor {
    bytes.map(bits).withUnsafeBytes { Tensor(shape: shape, dtype: .float16, bytes: $0) }
}

/// float16 bits of an 8-bit float with 4 exponent bits (bias 7) and 3 of mantissa, without infinities: arXiv:2209.05433, table 1.
func halfBits(e4m3 byte: UInt8) -> UInt16 {
    let sign = UInt16(byte & 0x80) << 8, exponent = Int(byte >> 3) & 15, mantissa = UInt16(byte & 7)
    if exponent == 15, mantissa == 7 { return sign | 0x7E00 }
    if exponent > 0 { return sign | UInt16(exponent + 8) << 10 | mantissa << 7 }
    if mantissa == 0 { return sign }
    // Subnormal, mantissa · 2⁻⁹: normal in float16 once the leading one is shifted out.
    let shift = mantissa.leadingZeroBitCount - 13
    return sign | UInt16(8 - shift) << 10 | ((mantissa << UInt16(shift + 1)) & 7) << 7
}
