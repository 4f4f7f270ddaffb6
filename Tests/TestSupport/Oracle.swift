import TensorCore

/// A tensor in Double, for definitions written out plainly: slow, and meant to be read.
public struct Oracle {
    public let shape: [Int]
    public var values: [Double]

    public init(_ tensor: Tensor) { self.init(tensor.shape, tensor.array.map(Double.init)) }

    public init(_ shape: [Int], _ values: [Double]) {
        self.shape = shape
        self.values = values
    }

    /// Each element from its index along every axis.
    public init(_ shape: [Int], _ element: ([Int]) -> Double) {
        self.shape = shape
        var index = Array(repeating: 0, count: shape.count)
        values = (0..<shape.reduce(1, *)).map { position in
            var rest = position
            for axis in shape.indices.reversed() {
                index[axis] = rest % shape[axis]
                rest /= shape[axis]
            }
            return element(index)
        }
    }

    /// The element at an index; axes of size 1 stretch, and missing leading axes are ignored (NumPy's broadcasting).
    public subscript(_ index: [Int]) -> Double {
        var position = 0
        for (axis, size) in shape.enumerated() { position = position * size + (size == 1 ? 0 : index[index.count - shape.count + axis]) }
        return values[position]
    }

    public subscript(_ index: Int...) -> Double { self[index] }

    public func map(_ f: (Double) -> Double) -> Oracle { Oracle(shape, values.map(f)) }
}
