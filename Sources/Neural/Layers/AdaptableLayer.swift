import TensorCore

/// What an adapter must know of the layer it is placed on.
public enum AdaptableKind: Sendable, Equatable {
    case linear(inputs: Int, outputs: Int)
    /// A square kernel.
    case convolution(inputs: Int, outputs: Int, kernel: Int, stride: Int, padding: Padding)

    public var inputs: Int {
        switch self { case .linear(let inputs, _), .convolution(let inputs, _, _, _, _): inputs }
    }
    public var outputs: Int {
        switch self { case .linear(_, let outputs), .convolution(_, let outputs, _, _, _): outputs }
    }
}

/// A layer with a slot for adapters, of which each adds to its output.
public protocol AdaptableLayer: AnyObject, Sendable {
    /// Module path in the model ("up_blocks.1.attentions.0.proj_in").
    var path: String { get }
    var kind: AdaptableKind { get }
    var weight: Parameter { get }
    var bias: Parameter? { get }
    /// Set between steps by the session that owns the model.
    var adapters: [any LayerAdapter] { get set }
}

/// Adds to a layer's output.
public protocol LayerAdapter: AnyObject {
    /// - Parameters:
    ///   - x: the layer's input.
    ///   - output: what the layer made of it, with what other adapters added.
    /// - Returns: the output with this adapter's addition.
    func added(_ x: Tensor, to output: Tensor) -> Tensor
}

extension AdaptableLayer {
    /// The output with the additions of all adapters.
    @inline(__always)
    func adapted(_ output: Tensor, for x: Tensor) -> Tensor {
        adapters.reduce(output) { $1.added(x, to: $0) }
    }
}
