/// Gradients of a scalar `loss` with respect to `leaves`, in their order; zeros for a leaf that the loss does not depend on.
///
/// Only ops on a path from a leaf to the loss are walked. The walk releases what each op kept, so a graph can be walked once.
public func gradients(of loss: Tensor, for leaves: [Tensor]) -> [Tensor] {
    zip(leaves, reachedGradients(of: loss, for: leaves)).map { $1 ?? Tensor.zeros($0.shape, on: $0.device) }
}

/// As `gradients(of:for:)`, with nil for a leaf that the loss does not depend on: an optimizer leaves such a parameter alone, where a
/// gradient of zeros would still let its weight decay.
public func reachedGradients(of loss: Tensor, for leaves: [Tensor]) -> [Tensor?] {
    require(loss.count == 1, "gradients(of:for:): the loss has shape \(loss.shape); it must be one number, or give a seed")
    return reachedGradients(of: loss, seed: Tensor.full(1, loss.shape, on: loss.device), for: leaves)
}

/// Vector-Jacobian product: gradients of `Σ output ⊙ seed` with respect to `leaves`.
///
/// - Parameter seed: of `output`'s shape.
public func gradients(of output: Tensor, seed: Tensor, for leaves: [Tensor]) -> [Tensor] {
    zip(leaves, reachedGradients(of: output, seed: seed, for: leaves)).map { $1 ?? Tensor.zeros($0.shape, on: $0.device) }
}

private func reachedGradients(of output: Tensor, seed: Tensor, for leaves: [Tensor]) -> [Tensor?] {
    require(seed.shape == output.shape, "gradients(of:seed:for:): seed \(seed.shape) for an output \(output.shape)")
    var found: [UInt64: Tensor] = [:]
    if let root = output.node {
        found = backward(from: [(root, seed.detached())], to: Set(leaves.compactMap { $0.node?.id }))
    }
    return leaves.map { leaf in leaf.node.flatMap { found[$0.id] } }
}

/// The reverse walk: from `seeds` down to the nodes whose ids are `targets`, in descending order of ids.
///
/// - Parameter floor: nodes with smaller ids are not walked through (they belong to an enclosing graph).
/// - Returns: gradients by id, for the targets that were reached.
func backward(from seeds: [(node: Node, gradient: Tensor)], to targets: Set<UInt64>, floor: UInt64 = 0) -> [UInt64: Tensor] {
    let order = neededNodes(from: seeds.map(\.node), targets: targets, floor: floor)
    var gradients: [UInt64: Tensor] = [:]
    var result: [UInt64: Tensor] = [:]
    for seed in seeds { accumulate(seed.gradient, into: &gradients, seed.node) }
    let needed = Set(order.map(\.id))
    for node in order {
        guard let gradient = gradients.removeValue(forKey: node.id) else { continue }
        if targets.contains(node.id) { result[node.id] = gradient }
        guard let pullback = node.pullback, node.id >= floor else { continue }
        let inputs = node.inputs
        let needs = inputs.map { $0.map { needed.contains($0.id) } ?? false }
        node.consume()
        guard needs.contains(true) else { continue }
        let flowing = OperationProfile.pullback(of: node, gradients: needs.prefix(2).count { $0 }, on: gradient.device) {
            withoutGradients { pullback(gradient, needs) }
        }
        for (index, input) in inputs.enumerated() where needs[index] {
            if let input, let part = flowing[index] { accumulate(part, into: &gradients, input) }
        }
    }
    return result
}

/// Nodes on a path from `roots` to a target, by descending id.
private func neededNodes(from roots: [Node], targets: Set<UInt64>, floor: UInt64) -> [Node] {
    var seen: Set<UInt64> = []
    var reached: [Node] = []
    var pending = roots
    while let node = pending.popLast() {
        guard seen.insert(node.id).inserted else { continue }
        require(!node.isConsumed, "gradients: the graph of “\(node.name)” \(node.shape) was walked before; compute the value again")
        reached.append(node)
        if node.id >= floor { pending.append(contentsOf: node.inputs.compactMap { $0 }) }
    }
    reached.sort { $0.id < $1.id }
    var needed: Set<UInt64> = []
    for node in reached where targets.contains(node.id)
        || (node.id >= floor && node.inputs.contains { $0.map { needed.contains($0.id) } ?? false }) {
        needed.insert(node.id)
    }
    return reached.reversed().filter { needed.contains($0.id) }
}

/// Adds `part` to what has reached `node`; in place when nobody else holds that memory.
private func accumulate(_ part: Tensor, into gradients: inout [UInt64: Tensor], _ node: Node) {
    require(part.shape == node.shape, "“\(node.name)”: a gradient \(part.shape) flows to a value \(node.shape)")
    guard var sum = gradients.removeValue(forKey: node.id) else {
        gradients[node.id] = part
        return
    }
    if isKnownUniquelyReferenced(&sum.storage), sum.storage.isWritable {
        sum.device.axpy(sum.count, 1, part.elements, sum.elements)
    } else {
        sum = withoutGradients { sum + part }
    }
    gradients[node.id] = sum
}
