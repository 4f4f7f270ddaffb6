/// Reads the one pickle in a PyTorch checkpoint, and executes nothing: dictionaries, lists, numbers, texts and descriptions of tensors
/// are built. Of what trainers leave beside the weights (callbacks, NumPy numbers) nothing is made; every other thing that a pickle can
/// name is refused by its name.
///
/// Values refer to containers by number, so that neither a deep nor a circular pickle can exhaust the stack, and every value costs from
/// a budget, so that a small file cannot ask for much memory. Opcodes: CPython's `pickletools`, protocols 2 to 5.
struct PickleReader {
    /// What a pickle may name.
    enum Global: Equatable { case orderedDictionary, rebuildTensor, rebuildParameter, storage(StoredType), ignored }

    struct Storage { let type: StoredType, key: String, count: Int }

    /// Positions and strides in elements.
    struct TensorRecord { let storage: Int, offset: Int, shape: [Int], strides: [Int] }

    enum Value: Equatable {
        case none, bool(Bool), int(Int), float, text(String), mark
        /// Bytes, sets, integers beyond 64 bits, objects of trainers: they may be there, but nothing is made of them.
        case ignored
        case global(Global)
        /// Numbers of places in `lists` (of tuples, too), `dictionaries`, `storages`, `tensors`.
        case list(Int), tuple(Int), dictionary(Int), storage(Int), tensor(Int)
    }

    private(set) var lists: [[Value]] = []
    /// Entries with texts as keys; those with other keys hold no weights.
    private(set) var dictionaries: [[String: Value]] = []
    private(set) var storages: [Storage] = []
    private(set) var tensors: [TensorRecord] = []

    private let bytes: UnsafeRawBufferPointer
    private let file: String
    private var position = 0
    private var stack: [Value] = []
    private var memo: [Int: Value] = [:]
    private var budget: Int

    /// - Parameters:
    ///   - bytes: the pickle.
    ///   - fileSize: bytes of the whole checkpoint: what the reader may use is in proportion.
    init(_ bytes: UnsafeRawBufferPointer, fileSize: Int, file: String) {
        (self.bytes, self.file) = (bytes, file)
        budget = 2 * fileSize + (64 << 10)
    }

    /// The value that the pickle describes.
    mutating func read() throws(CheckpointError) -> Value {
        while true {
            let opcode = try byte()
            if opcode == UInt8(ascii: ".") { return try pop() }
            try execute(opcode)
        }
    }

    // MARK: Opcodes

    private mutating func execute(_ opcode: UInt8) throws(CheckpointError) {
        switch opcode {
        case 0x80: _ = try byte()                                                                // PROTO
        case 0x95: _ = try take(8)                                                               // FRAME
        case UInt8(ascii: "("): try push(.mark)
        case UInt8(ascii: "0"): _ = try pop()
        case UInt8(ascii: "1"): _ = try popToMark()
        case UInt8(ascii: "2"): try push(try top())
        case UInt8(ascii: "N"): try push(.none)
        case 0x88, 0x89: try push(.bool(opcode == 0x88))
        case UInt8(ascii: "J"): try push(.int(Int(Int32(truncatingIfNeeded: try unsigned(4)))))
        case UInt8(ascii: "K"): try push(.int(try unsigned(1)))
        case UInt8(ascii: "M"): try push(.int(try unsigned(2)))
        case 0x8A: try long(count: try unsigned(1))
        case 0x8B: try long(count: try unsigned(4))
        case UInt8(ascii: "G"):
            _ = try take(8)
            try push(.float)
        case UInt8(ascii: "X"), UInt8(ascii: "T"): try text(count: try unsigned(4))
        case UInt8(ascii: "U"), 0x8C: try text(count: try unsigned(1))
        case 0x8D: try text(count: try unsigned(8))
        case UInt8(ascii: "C"): try skipBytes(count: try unsigned(1))
        case UInt8(ascii: "B"): try skipBytes(count: try unsigned(4))
        case 0x8E, 0x96: try skipBytes(count: try unsigned(8))
        case UInt8(ascii: ")"), UInt8(ascii: "t"), 0x85, 0x86, 0x87: try tuple(opcode)
        case UInt8(ascii: "]"): try push(try newList([]))
        case UInt8(ascii: "l"): try push(try newList(try popToMark()))
        case UInt8(ascii: "a"):
            let value = try pop()
            try append([value])
        case UInt8(ascii: "e"): try append(try popToMark())
        case UInt8(ascii: "}"): try push(try newDictionary())
        case UInt8(ascii: "d"):
            let items = try popToMark()
            try push(try newDictionary())
            try setItems(items)
        case UInt8(ascii: "s"):
            let value = try pop(), key = try pop()
            try setItems([key, value])
        case UInt8(ascii: "u"): try setItems(try popToMark())
        case UInt8(ascii: "q"): try memorise(try unsigned(1))
        case UInt8(ascii: "r"): try memorise(try unsigned(4))
        case 0x94: try memorise(memo.count)
        case UInt8(ascii: "h"): try recall(try unsigned(1))
        case UInt8(ascii: "j"): try recall(try unsigned(4))
        case UInt8(ascii: "c"):
            let module = try line(), name = try line()
            try push(.global(try global(module, name)))
        case 0x93: try stackGlobal()
        case UInt8(ascii: "Q"): try persistent(try pop())
        case UInt8(ascii: "R"), 0x81: try call()
        case UInt8(ascii: "b"): try build()
        default: throw malformed("the opcode \(opcode) has no place in a checkpoint")
        }
    }

    /// State that an object gets after it was made: torch puts `_metadata` beside a dictionary's entries so.
    private mutating func build() throws(CheckpointError) {
        _ = try pop()
        switch try top() {
        case .dictionary, .tensor, .ignored: break
        default: throw malformed("state for something that has none")
        }
    }

    private mutating func tuple(_ opcode: UInt8) throws(CheckpointError) {
        var items: [Value] = []
        switch opcode {
        case UInt8(ascii: "t"): items = try popToMark()
        case UInt8(ascii: ")"): break
        default:
            for _ in 0..<(Int(opcode) - 0x84) { items.insert(try pop(), at: 0) }
        }
        guard case .list(let index) = try newList(items) else { return }
        try push(.tuple(index))
    }

    private mutating func long(count: Int) throws(CheckpointError) {
        let digits = try take(count)
        guard count <= 8 else { return try push(.ignored) }
        var value = UInt64(0)
        for (place, digit) in digits.enumerated() { value |= UInt64(digit) << UInt64(8 * place) }
        let unused = UInt64(64 - 8 * count)
        try push(.int(count == 0 ? 0 : Int(Int64(bitPattern: value << unused) >> Int64(unused))))
    }

    private mutating func text(count: Int) throws(CheckpointError) {
        let characters = try take(count)
        try spend(count)
        guard let text = String(validating: characters, as: UTF8.self) else { throw malformed("a text that is not UTF-8") }
        try push(.text(text))
    }

    private mutating func skipBytes(count: Int) throws(CheckpointError) {
        _ = try take(count)
        try push(.ignored)
    }

    private mutating func append(_ items: [Value]) throws(CheckpointError) {
        switch try top() {
        case .list(let index): lists[index] += items
        case .ignored: break
        default: throw malformed("items for something that is no list")
        }
    }

    private mutating func setItems(_ items: [Value]) throws(CheckpointError) {
        if try top() == .ignored { return }
        guard items.count % 2 == 0, case .dictionary(let index) = try top() else { throw malformed("entries for something that is no dictionary") }
        for place in stride(from: 0, to: items.count, by: 2) {
            guard case .text(let key) = items[place] else { continue }
            try spend(Self.entryCost)
            dictionaries[index][key] = items[place + 1]
        }
    }

    // MARK: Names and calls

    private static let storageTypes: [String: StoredType] = [
        "FloatStorage": .f32, "HalfStorage": .f16, "BFloat16Storage": .bf16, "DoubleStorage": .f64, "LongStorage": .i64, "IntStorage": .i32,
        "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8, "BoolStorage": .bool,
    ]

    /// Python modules whose objects trainers leave beside the weights (Lightning's callbacks and settings, NumPy's numbers).
    private static let ignoredModules: Set<Substring> = ["pytorch_lightning", "lightning", "lightning_fabric", "omegaconf", "numpy"]
    private static let ignoredNames: Set<String> = [
        "_codecs.encode", "collections.defaultdict", "torch.Size", "torch.device", "builtins.set", "builtins.dict", "builtins.list", "builtins.int",
        "__builtin__.set", "__builtin__.dict", "__builtin__.list", "__builtin__.int", "copy_reg._reconstructor", "copyreg._reconstructor",
        "builtins.object", "__builtin__.object", "pathlib.PosixPath", "typing.Any",
    ]

    private func global(_ module: String, _ name: String) throws(CheckpointError) -> Global {
        switch (module, name) {
        case ("collections", "OrderedDict"): return .orderedDictionary
        case ("torch._utils", "_rebuild_tensor_v2"): return .rebuildTensor
        case ("torch._utils", "_rebuild_parameter"): return .rebuildParameter
        default:
            if module == "torch", let type = Self.storageTypes[name] { return .storage(type) }
            if Self.ignoredModules.contains(module.prefix { $0 != "." }) || Self.ignoredNames.contains("\(module).\(name)") { return .ignored }
            throw .forbiddenPickle("\(module).\(name)", file: file)
        }
    }

    private mutating func stackGlobal() throws(CheckpointError) {
        guard case .text(let name) = try pop(), case .text(let module) = try pop() else { throw malformed("a name that is no text") }
        try push(.global(try global(module, name)))
    }

    /// `('storage', type, key, device, count)`: where a tensor's numbers are.
    private mutating func persistent(_ identity: Value) throws(CheckpointError) {
        let parts = try items(identity)
        guard parts.count >= 5, parts[0] == .text("storage"), case .global(.storage(let type)) = parts[1], case .text(let key) = parts[2],
            case .int(let count) = parts[4], count >= 0
        else { throw malformed("a persistent identity that is no tensor storage") }
        try spend(Self.containerCost)
        storages.append(Storage(type: type, key: key, count: count))
        try push(.storage(storages.count - 1))
    }

    private mutating func call() throws(CheckpointError) {
        let arguments = try items(try pop())
        let called = try pop()
        guard case .global(let function) = called else {
            guard called == .ignored else { throw malformed("a call of something that is no function") }
            return try push(.ignored)
        }
        switch function {
        case .ignored: try push(.ignored)
        case .orderedDictionary:
            try push(try newDictionary())
            for pair in try arguments.first.map(items) ?? [] { try setItems(try items(pair)) }
        case .rebuildTensor: try rebuildTensor(arguments)
        case .rebuildParameter:
            guard case .tensor? = arguments.first else { throw malformed("a parameter without a tensor") }
            try push(arguments[0])
        case .storage: throw malformed("a storage made by a call")
        }
    }

    /// Tensors have at most this many axes.
    private static let maximumRank = 8

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`.
    private mutating func rebuildTensor(_ arguments: [Value]) throws(CheckpointError) {
        guard arguments.count >= 4, case .storage(let storage) = arguments[0], case .int(let offset) = arguments[1], offset >= 0 else {
            throw malformed("a tensor without its storage")
        }
        let shape = try wholeNumbers(arguments[2]), strides = try wholeNumbers(arguments[3])
        guard shape.count == strides.count, shape.count <= Self.maximumRank else { throw malformed("a tensor of \(shape.count) sizes and \(strides.count) strides") }
        try spend(Self.containerCost + 16 * shape.count)
        tensors.append(TensorRecord(storage: storage, offset: offset, shape: shape, strides: strides))
        try push(.tensor(tensors.count - 1))
    }

    private func wholeNumbers(_ value: Value) throws(CheckpointError) -> [Int] {
        var numbers: [Int] = []
        for item in try items(value) {
            guard case .int(let number) = item, number >= 0 else { throw malformed("a size or stride that is no whole number ≥ 0") }
            numbers.append(number)
        }
        return numbers
    }

    private func items(_ value: Value) throws(CheckpointError) -> [Value] {
        switch value {
        case .list(let index), .tuple(let index): return lists[index]
        default: throw malformed("expected a tuple")
        }
    }

    // MARK: Stack and memory

    /// What a value and a container take at most, in bytes.
    private static let valueCost = 32, containerCost = 96, entryCost = 64

    private mutating func spend(_ cost: Int) throws(CheckpointError) {
        budget -= cost
        if budget < 0 { throw malformed("it asks for more memory than a checkpoint of its size needs") }
    }

    private mutating func push(_ value: Value) throws(CheckpointError) {
        try spend(Self.valueCost)
        stack.append(value)
    }

    private mutating func pop() throws(CheckpointError) -> Value {
        guard let value = stack.popLast() else { throw malformed("it takes more from the stack than it put there") }
        return value
    }

    private func top() throws(CheckpointError) -> Value {
        guard let value = stack.last else { throw malformed("it takes more from the stack than it put there") }
        return value
    }

    private mutating func popToMark() throws(CheckpointError) -> [Value] {
        guard let mark = stack.lastIndex(of: .mark) else { throw malformed("a group without its start") }
        defer { stack.removeSubrange(mark...) }
        return Array(stack[(mark + 1)...])
    }

    private mutating func newList(_ items: [Value]) throws(CheckpointError) -> Value {
        try spend(Self.containerCost)
        lists.append(items)
        return .list(lists.count - 1)
    }

    private mutating func newDictionary() throws(CheckpointError) -> Value {
        try spend(Self.containerCost)
        dictionaries.append([:])
        return .dictionary(dictionaries.count - 1)
    }

    private mutating func memorise(_ index: Int) throws(CheckpointError) {
        try spend(Self.valueCost)
        memo[index] = try top()
    }

    private mutating func recall(_ index: Int) throws(CheckpointError) {
        guard let value = memo[index] else { throw malformed("it recalls what it has not kept") }
        try push(value)
    }

    // MARK: Bytes

    private func malformed(_ reason: String) -> CheckpointError { .malformedPickle(file: file, offset: position, reason: reason) }

    private mutating func take(_ count: Int) throws(CheckpointError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= bytes.count - position else { throw malformed("it ends in the middle of a value") }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)])
    }

    private mutating func byte() throws(CheckpointError) -> UInt8 { try take(1)[0] }

    private mutating func unsigned(_ count: Int) throws(CheckpointError) -> Int {
        var value = UInt64(0)
        for (place, digit) in try take(count).enumerated() { value |= UInt64(digit) << UInt64(8 * place) }
        guard let number = Int(exactly: value) else { throw malformed("a length that does not fit into 63 bits") }
        return number
    }

    /// Text up to a line's end, as old opcodes have it.
    private mutating func line() throws(CheckpointError) -> String {
        let rest = bytes[position...]
        guard let end = rest.firstIndex(of: 0x0A), end - position <= 256, let text = String(validating: bytes[position..<end], as: UTF8.self) else {
            throw malformed("a name without an end")
        }
        position = end + 1
        return text
    }
}
