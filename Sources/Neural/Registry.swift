import Checkpoints
import TensorCore

/// What a model consists of, in order of construction: its parameters, and its layers that take adapters.
///
/// It grows only while the model's constructor runs on one thread and is read afterwards, hence `@unchecked Sendable`.
public final class Registry: @unchecked Sendable {
    public struct Entry: Sendable {
        /// The checkpoint key, as diffusers and transformers write it today.
        public let key: String
        public let parameter: Parameter
    }

    public private(set) var parameters: [Entry] = []
    /// Linear and convolution layers by module path ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q").
    public private(set) var adaptable: [(path: String, layer: any AdaptableLayer)] = []
    /// Normalisation layers, which take adapters of their own.
    public private(set) var norms: [NormSlot] = []
    /// The files that the parameters were read from.
    public private(set) var files: [MappedFile] = []
    private var keysRead: Set<String> = []

    public init() {}

    /// Number of weights (elements, not tensors).
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.parameter.value.count } }

    /// Bytes that the weights take in memory.
    public var byteCount: Int { parameters.reduce(0) { $0 + $1.parameter.value.count * $1.parameter.value.dtype.byteSize } }

    /// For a model that is not needed for a while: weights that lie in a mapped file leave the process's memory until they are used again.
    public func releasePages() {
        for entry in parameters { entry.parameter.value.releasePages() }
    }

    /// Takes every parameter to a device; what was read from a mapped file leaves the process's memory.
    public func move(to device: any Device) {
        for entry in parameters where entry.parameter.value.device !== device {
            let source = entry.parameter.value
            entry.parameter.move(to: device)
            source.releasePages()
        }
    }

    /// Requires that the files are still those that the parameters were read from; the numbers of a large parameter stay in its file.
    /// - Throws: `CheckpointError.changed`.
    public func requireUnchanged() throws(CheckpointError) {
        for file in files { try file.requireUnchanged() }
    }

    /// Makes every parameter trainable (widened to float32 first) or frozen.
    public func setTrainable(_ trainable: Bool) {
        for entry in parameters {
            if trainable, entry.parameter.value.dtype != .float32 {
                entry.parameter.value = entry.parameter.value.converted(to: .float32)
            }
            entry.parameter.isTrainable = trainable
        }
    }

    /// The parameters as a checkpoint holds them, in order of construction.
    public func tensors() -> [(name: String, tensor: Tensor)] {
        parameters.map { ($0.key, $0.parameter.value.detached()) }
    }

    /// Writes the parameters as a safetensors file.
    ///
    /// - Parameters:
    ///   - dtype: precision in the file; nil keeps each tensor's own.
    ///   - metadata: the header's `__metadata__`; diffusers and transformers ask for `format: pt`.
    public func write(to path: String, dtype: DType? = nil, metadata: [String: String] = ["format": "pt"]) throws {
        try SafetensorsWriter.write(tensors(), metadata: metadata, to: path, dtype: dtype)
    }

    func add(_ more: [MappedFile]) { files += more }
    func add(_ entry: Entry) { parameters.append(entry) }
    func add(_ layer: any AdaptableLayer, at path: String) { adaptable.append((path, layer)) }
    func add(_ norm: NormSlot) { norms.append(norm) }
    func markRead(_ key: String) { keysRead.insert(key) }
    func hasRead(_ key: String) -> Bool { keysRead.contains(key) }
}
