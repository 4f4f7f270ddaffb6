/// How one element of a tensor is stored. Arithmetic is float32; the 16-bit types hold frozen weights.
public enum DType: Sendable {
    case float32
    /// IEEE 754 binary16.
    case float16
    /// The upper half of a float32.
    case bfloat16

    /// Bytes per element.
    public var byteSize: Int { self == .float32 ? 4 : 2 }
}
