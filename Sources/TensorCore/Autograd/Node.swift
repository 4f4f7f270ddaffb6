import Synchronization

/// One recorded op, or a leaf: what it came from and how its gradient flows back.
///
/// Ids grow with time, so an op's id is above those of everything it was made from and descending order is a valid order
/// for the reverse walk. A graph is built and walked by one thread at a time.
final class Node: @unchecked Sendable {
    /// From the gradient of the op's value to those of its inputs; an input that `needs` no gradient may be answered with nil.
    typealias Pullback = (_ gradient: Tensor, _ needs: [Bool]) -> [Tensor?]

    let id: UInt64
    /// The op's name, for messages.
    let name: StaticString
    let shape: [Int]
    /// Multiplications and additions that made the value.
    let flops: Double
    /// Nil for inputs no gradient flows to. Emptied when the walk has passed.
    private(set) var inputs: [Node?]
    /// Nil for leaves, and when the walk has passed.
    private(set) var pullback: Pullback?
    private(set) var isConsumed = false

    init(_ name: StaticString, shape: [Int], inputs: [Node?], flops: Double = 0, pullback: @escaping Pullback) {
        id = Node.nextID()
        self.name = name
        self.shape = shape
        self.flops = flops
        self.inputs = inputs
        self.pullback = pullback
    }

    init(leaf shape: [Int]) {
        id = Node.nextID()
        name = "leaf"
        self.shape = shape
        flops = 0
        inputs = []
        pullback = nil
    }

    var isLeaf: Bool { pullback == nil && !isConsumed }

    /// Lets go of what was kept for this op; the walk passes each node once.
    func consume() {
        guard pullback != nil else { return }
        pullback = nil
        inputs = []
        isConsumed = true
    }

    /// Takes a graph that nobody walked apart node by node: left to itself, a chain of a hundred thousand ops would be
    /// released by as many nested calls.
    deinit {
        var pending = inputs.compactMap { $0 }
        inputs = []
        while var node = pending.popLast() {
            guard isKnownUniquelyReferenced(&node) else { continue }
            pending.append(contentsOf: node.inputs.compactMap { $0 })
            node.inputs = []
        }
    }

    private static let counter = Atomic<UInt64>(1)

    static func nextID() -> UInt64 { counter.wrappingAdd(1, ordering: .relaxed).oldValue }
}
