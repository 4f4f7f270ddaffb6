// From one device to another.

extension Tensor {
    /// Operands of up to so many elements in the host's memory follow the others to their device.
    static let smallOperand = 4096

    var isOnHost: Bool { storage.device === HostDevice.shared }

    /// The same elements on `device`; the tensor itself if it lies there.
    /// - Gradient: `dy`, moved back.
    public func moved(to device: any Device) -> Tensor {
        if storage.device === device { return self }
        let source = storage.device
        return record("moved", copied(to: device)) { $0.moved(to: source) }
    }

    /// The same without a place in the graph.
    func copied(to device: any Device) -> Tensor {
        if storage.device === device { return self }
        let size = count * dtype.byteSize
        if isOnHost {
            let copy = Tensor(uninitialized: shape, on: device, type: dtype)
            device.upload(size, from: storage.pointer, to: copy.storage.pointer)
            return copy
        }
        let copy = Tensor(uninitialized: shape, on: HostDevice.shared, type: dtype)
        storage.device.download(size, from: storage.pointer, to: copy.storage.pointer)
        return copy.copied(to: device)
    }

    // MARK: Operands of one op

    /// Whether the operands lie on this tensor's device.
    @inline(__always)
    func isTogether(with a: Tensor, _ b: Tensor? = nil, _ c: Tensor? = nil) -> Bool {
        let device = storage.device
        return a.storage.device === device && (b == nil || b!.storage.device === device) && (c == nil || c!.storage.device === device)
    }

    /// This operand on the device of `other`: moved there if it is small and in the host's memory.
    func beside(_ other: Tensor, _ op: StaticString) -> Tensor {
        if storage.device === other.storage.device { return self }
        require(isOnHost && count <= Tensor.smallOperand,
                "\(op): an operand \(shape) lies on \(device.name), another \(other.shape) on \(other.device.name); move it there first")
        return moved(to: other.device)
    }

    /// Both operands on one device; nil when they are.
    @inline(__always)
    static func united(_ op: StaticString, _ a: Tensor, _ b: Tensor) -> (Tensor, Tensor)? {
        if a.storage.device === b.storage.device { return nil }
        return a.isOnHost ? (a.beside(b, op), b) : (a, b.beside(a, op))
    }

    /// All three.
    @inline(__always)
    static func united(_ op: StaticString, _ a: Tensor, _ b: Tensor, _ c: Tensor) -> (Tensor, Tensor, Tensor)? {
        if a.isTogether(with: b, c) { return nil }
        return united(op, [a, b, c]).map { ($0[0], $0[1], $0[2]) }
    }

    /// All of them.
    static func united(_ op: StaticString, _ parts: [Tensor]) -> [Tensor]? {
        guard let first = parts.first, !parts.allSatisfy({ $0.storage.device === first.storage.device }) else { return nil }
        let anchor = parts.first { !$0.isOnHost } ?? first
        return parts.map { $0.beside(anchor, op) }
    }
}
