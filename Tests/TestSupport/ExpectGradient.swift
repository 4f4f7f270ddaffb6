import TensorCore
import Testing

/// Expects the gradients of `Σ seed ⊙ body(inputs)`, for a fixed random seed, to agree with central differences in Double.
///
/// The differences are taken of `oracle`, the op's definition written out in Double, at a step of 1e-5: their own error is about
/// 1e-9 of the value, so what is left is the float32 rounding of the op and its pullback. The value is compared as well, and all numbers
/// with those of a second device.
/// - Parameters:
///   - inputs: small tensors; every element of each is moved.
///   - relative: of the largest element of each gradient. The default leaves room for sums of some hundred float32 terms.
public func expectGradient(of body: ([Tensor]) -> Tensor, at inputs: [Tensor], matching oracle: ([Oracle]) -> Oracle, relative: Double = 2e-5,
                           _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation) {
    let leaves = inputs.map { $0.trackingGradient() }
    let output = body(leaves)
    let plain = inputs.map(Oracle.init)
    let expected = oracle(plain)
    #expect(output.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
    expectClose(output.array.map(Double.init), expected.values, relative: relative, "\(what) value", sourceLocation: sourceLocation)

    let seed = Tensor.testNormal(output.shape, seed: 77)
    let weights = seed.array.map(Double.init)
    func loss(_ inputs: [Oracle]) -> Double { zip(oracle(inputs).values, weights).reduce(0) { $0 + $1.0 * $1.1 } }
    let analytic = gradients(of: output, seed: seed, for: leaves)
    expectSameOnMirror(body, at: inputs, seed: seed, output: output, gradients: analytic, what, sourceLocation: sourceLocation)
    let step = 1e-5
    for (index, gradient) in analytic.enumerated() {
        #expect(gradient.shape == inputs[index].shape, "\(what)", sourceLocation: sourceLocation)
        var numeric: [Double] = []
        for element in plain[index].values.indices {
            var moved = plain
            moved[index].values[element] += step
            let above = loss(moved)
            moved[index].values[element] -= 2 * step
            numeric.append((above - loss(moved)) / (2 * step))
        }
        expectClose(gradient.array.map(Double.init), numeric, relative: relative, absolute: 1e-7, "\(what) gradient of input \(index)", sourceLocation: sourceLocation)
    }
}

/// Expects gradients to agree with differences of the float32 value itself, for what has no short definition in Double (blocks, models).
///
/// Four-point central differences, summed in Double: their truncation is of the order of step⁴, so the step may be large enough
/// for float32's rounding (about 1e-7 of the value, divided by the step) to stay below `relative`.
/// - Parameter samples: elements moved in each input, spread evenly.
public func expectGradient(of body: ([Tensor]) -> Tensor, at inputs: [Tensor], step: Float = 1e-2, relative: Double = 5e-3, samples: Int = 24,
                           _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation) {
    let leaves = inputs.map { $0.trackingGradient() }
    let output = body(leaves)
    let seed = Tensor.testNormal(output.shape, seed: 77)
    let weights = seed.array.map(Double.init)
    func loss(_ index: Int, _ element: Int, _ offset: Float) -> Double {
        var moved = inputs
        var values = inputs[index].array
        values[element] += offset
        moved[index] = Tensor(values, shape: inputs[index].shape)
        return zip(withoutGradients { body(moved) }.array, weights).reduce(0) { $0 + Double($1.0) * $1.1 }
    }
    let analytic = gradients(of: output, seed: seed, for: leaves)
    expectSameOnMirror(body, at: inputs, seed: seed, output: output, gradients: analytic, what, sourceLocation: sourceLocation)
    for (index, gradient) in analytic.enumerated() where gradient.count > 0 {
        #expect(gradient.shape == inputs[index].shape, "\(what)", sourceLocation: sourceLocation)
        let values = gradient.array
        let scale = values.reduce(0) { max($0, abs(Double($1))) }
        for element in stride(from: 0, to: values.count, by: max(1, values.count / samples)) {
            let near = loss(index, element, step) - loss(index, element, -step), far = loss(index, element, 2 * step) - loss(index, element, -2 * step)
            let numeric = (8 * near - far) / (12 * Double(step))
            expectClose([Double(values[element])], [numeric], relative: 0, absolute: relative * max(scale, 1e-3), "\(what) gradient of input \(index), element \(element)",
                        sourceLocation: sourceLocation)
        }
    }
}

/// Expects a device with memory of its own to give the value and the gradients of `Σ seed ⊙ body(inputs)` that the processor gave, bit by bit.
///
/// It must stay where it is: nothing is read until all is computed.
public func expectSameOnMirror(
    _ body: ([Tensor]) -> Tensor, at inputs: [Tensor], seed: Tensor, output: Tensor, gradients expected: [Tensor], _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let mirror = MirrorDevice(), leaves = inputs.map { $0.moved(to: mirror).trackingGradient() }
    let value = body(leaves), found = gradients(of: value, seed: seed.moved(to: mirror), for: leaves)
    #expect(mirror.count.downloads == 0 && mirror.failure == nil, "\(what) reads from the device", sourceLocation: sourceLocation)
    for (index, (there, here)) in zip([value] + found, [output] + expected).enumerated() {
        let name = index == 0 ? "value" : "gradient of input \(index - 1)"
        #expect(there.device === mirror && there.shape == here.shape, "\(what) \(name)", sourceLocation: sourceLocation)
        #expect(there.bits == here.bits, "\(what) \(name) differs on a second device", sourceLocation: sourceLocation)
    }
}

extension Tensor {
    /// The elements as float32, to be compared bit by bit.
    public var bits: [UInt32] { array.map(\.bitPattern) }

    /// Repeatable values of about unit variance, from a linear congruential generator (twelve uniforms summed).
    public static func testNormal(_ shape: [Int], seed: UInt64, scale: Float = 1) -> Tensor {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC_DEF1
        return Tensor(shape: shape) { target in
            for i in target.indices {
                var sum: Float = -6
                for _ in 0..<12 {
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    sum += Float(state >> 40) * 0x1p-24
                }
                target[i] = sum * scale
            }
        }
    }
}
