import Checkpoints
import TensorCore

/// A scoped reader of a checkpoint: `w["down_blocks"][0]["resnets"][1]`. A model's constructor spells the keys by passing
/// narrower scopes to its parts, and every parameter it reads is entered in the registry.
public struct Weights {
    public let registry: Registry
    /// The scope as today's libraries spell it, without a final dot.
    public let path: String
    /// The scope as this checkpoint spells it; differs from `path` for older spellings.
    private let storedPath: String
    private let source: any WeightSource
    private let precision: DType?

    /// - Parameter precision: what matrices and kernels are converted to while loading; nil keeps the stored precision.
    ///   Vectors (biases, scales) and lone position tables of three axes are always float32: they are small, and sums want them so.
    public init(_ source: any WeightSource, registry: Registry = Registry(), precision: DType? = nil) {
        self.init(source, registry, path: "", storedPath: "", precision)
        registry.add(source.files)
    }

    private init(_ source: any WeightSource, _ registry: Registry, path: String, storedPath: String, _ precision: DType?) {
        self.source = source
        self.registry = registry
        self.path = path
        self.storedPath = storedPath
        self.precision = precision
    }

    /// Where the values come from, for messages.
    public var location: String { source.location }

    public subscript(_ scope: String) -> Weights { narrowed(to: scope, stored: scope) }
    public subscript(_ index: Int) -> Weights { self[String(index)] }

    /// A scope that older checkpoints spelled differently.
    ///
    /// - Parameter former: read instead when the checkpoint holds `former.weight` and not `scope.weight`.
    public subscript(_ scope: String, formerly former: String) -> Weights {
        let isOld = !contains("\(scope).weight") && contains("\(former).weight")
        return narrowed(to: scope, stored: isOld ? former : scope)
    }

    /// A scope that some checkpoints leave out of their keys.
    ///
    /// - Parameter probe: a key inside the scope that tells whether it was left out.
    public subscript(_ scope: String, optionalUnlessPresent probe: String) -> Weights {
        let isLeftOut = !contains("\(scope).\(probe)") && contains(probe)
        return isLeftOut ? narrowed(to: scope, stored: nil) : self[scope]
    }

    public func contains(_ name: String) -> Bool { source.contains(Self.join(storedPath, name)) }

    /// Reads a parameter and enters it in the registry.
    ///
    /// - Parameters:
    ///   - name: last part of the key.
    ///   - shape: the shape the checkpoint must hold.
    ///   - initial: the distribution when there is no checkpoint; nil leaves it to the source.
    /// - Throws: `CheckpointError` when the key is missing or has another shape.
    public func parameter(
        _ name: String, shape: [Int], initial: InitialValue? = nil
    ) throws(CheckpointError) -> Parameter {
        let stored = try read(Self.join(storedPath, name), shape: shape, initial: initial)
        let isMatrixOrKernel = shape.count == 2 || shape.count == 4
        let wanted = isMatrixOrKernel ? precision ?? stored.dtype : .float32
        let key = Self.join(path, name)
        let parameter = Parameter(key, stored.dtype == wanted ? stored : stored.converted(to: wanted))
        registry.add(.init(key: key, parameter: parameter))
        return parameter
    }

    /// Accounts for a key that repeats another parameter (tied weights) and is therefore not read.
    public func skipTied(_ name: String) { registry.markRead(Self.join(storedPath, name)) }

    /// Requires that the model has used every key of the checkpoint under this scope.
    ///
    /// - Parameter isIgnorable: keys known to carry no weights (position indices of older releases, for one).
    /// - Throws: `CheckpointError.unusedKeys`.
    public func requireEveryKeyUsed(except isIgnorable: (String) -> Bool = { _ in false }) throws(CheckpointError) {
        let prefix = storedPath.isEmpty ? "" : storedPath + "."
        let unused = source.keys.filter { $0.hasPrefix(prefix) && !registry.hasRead($0) && !isIgnorable($0) }
        if !unused.isEmpty { throw .unusedKeys(unused.sorted(), file: source.location) }
    }

    private func read(_ key: String, shape: [Int], initial: InitialValue?) throws(CheckpointError) -> Tensor {
        registry.markRead(key)
        if let initial, let fresh = source as? any InitializingSource {
            return fresh.tensor(key, shape: shape, initial: initial)
        }
        return try source.tensor(key, shape: shape)
    }

    private func narrowed(to scope: String, stored: String?) -> Weights {
        Weights(source, registry, path: Self.join(path, scope), storedPath: stored.map { Self.join(storedPath, $0) } ?? storedPath, precision)
    }

    private static func join(_ path: String, _ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
}
