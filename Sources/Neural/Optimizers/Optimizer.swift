import TensorCore

/// An update rule with state. The state is kept by parameter name, so it survives a rebuilt model and can be written out.
public protocol Optimizer: Sendable {
    /// Updates the parameters in place.
    ///
    /// - Parameters:
    ///   - parameters: float32, with different names.
    ///   - gradients: one for each parameter, of its shape and on its device.
    ///   - learningRates: one for each parameter, already multiplied by the schedule.
    mutating func step(_ parameters: [Parameter], gradients: [Tensor], learningRates: [Float])

    /// The state as named tensors (`"<parameter>.exp_avg"`, torch's names), sorted by name; enough for an exact continuation.
    var state: [(name: String, tensor: Tensor)] { get }

    /// Replaces the state by one that `state` returned earlier.
    ///
    /// - Throws: `OptimizerError` when a name or a shape is not what `state` writes; the optimizer is then unchanged.
    mutating func restore(_ state: [String: Tensor]) throws(OptimizerError)
}

extension Optimizer {
    public mutating func step(_ parameters: [Parameter], gradients: [Tensor], learningRate: Float) {
        step(parameters, gradients: gradients, learningRates: Array(repeating: learningRate, count: parameters.count))
    }
}

/// A saved optimizer state did not fit.
public enum OptimizerError: Error, Equatable, CustomStringConvertible {
    case missingState(String)
    case unknownState(String, expected: [String])
    case mismatchedShapes(String, expected: [Int], found: [Int])

    public var description: String {
        switch self {
        case .missingState(let name):
            "the optimizer state lacks \(name); save it again, or continue with a fresh optimizer"
        case .unknownState(let name, let expected):
            "\(name) is no state of this optimizer (expected names ending in \(expected.joined(separator: ", "))); was it saved by another optimizer?"
        case .mismatchedShapes(let name, let expected, let found):
            "the optimizer state \(name) has shape \(found), expected \(expected)"
        }
    }
}
