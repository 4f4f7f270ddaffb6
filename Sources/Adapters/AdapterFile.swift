import Checkpoints
import Neural
import TensorCore

/// One module of a file, not yet fitted to a layer. Tensors are float32 in the file's layout.
enum StoredModule: Sendable {
    case lora(LoRAFactors)
    /// Any other formula, with DoRA's magnitude where there is one.
    case dense(any WeightDifference, magnitude: Tensor?)
    case norm(scale: Tensor, shift: Tensor?)

    var kind: AdapterKind {
        switch self {
        case .lora: .lora
        case .dense(let difference, _): type(of: difference).kind
        case .norm: .norm
        }
    }
}

/// An adapter file's content: what changes each module, by Kohya's name, and the metadata.
///
/// Read are LoRA, LoCon (with core), LoHa, LoKr, DyLoRA, full differences, normalisation differences and DoRA's magnitudes, in
/// the names of Kohya's scripts, LyCORIS, PEFT and diffusers. `AdapterNetwork` fits them to a model.
public struct AdapterFile: Sendable {
    let modules: [String: StoredModule]
    public let metadata: [String: String]
    public let location: String

    /// The types of adapter in the file and how many modules each has.
    public var kinds: [AdapterKind: Int] { modules.values.reduce(into: [:]) { $0[$1.kind, default: 0] += 1 } }

    /// - Throws: `AdapterError` for a file that cannot be read, holds keys of no known adapter, or parts that do not fit.
    public init(path: String) throws(AdapterError) {
        let file: SafetensorsFile
        do throws(CheckpointError) {
            file = try SafetensorsFile(path: path, copiesTensors: true)
        } catch {
            throw .checkpoint(error)
        }
        try self.init(file)
    }

    /// The adapter among an open file's tensors.
    /// - Parameter prefix: of the adapter's keys, where the file holds other things, too.
    public init(_ file: SafetensorsFile, prefix: String = "") throws(AdapterError) {
        do {
            location = file.location
            metadata = file.metadata
            modules = try Self.read(file, prefix)
            try file.requireUnchanged()
        } catch let error as AdapterError {
            throw error
        } catch let error as CheckpointError {
            throw .checkpoint(error)
        } catch {
            preconditionFailure("unexpected \(error)")
        }
    }

    private static func read(_ file: SafetensorsFile, _ prefix: String) throws -> [String: StoredModule] {
        var groups: [String: ModuleTensors] = [:], unknown: [String] = []
        for key in file.keys where key.hasPrefix(prefix) {
            guard let parsed = AdapterKey(String(key.dropFirst(prefix.count))) else {
                unknown.append(key)
                continue
            }
            let isScalar = parsed.ending == "alpha" || parsed.ending == "scalar"
            let tensor = isScalar ? try number(key, file) : try file.tensor(key).converted(to: .float32)
            var group = groups[parsed.module] ?? ModuleTensors(name: parsed.module, file: file.location)
            try group.add(parsed, tensor)
            groups[parsed.module] = group
        }
        guard unknown.isEmpty else {
            throw AdapterError.unknownKeys(Array(unknown.prefix(3)), count: unknown.count, seems: AdapterFileGuess.name(unknown), file: file.location)
        }
        guard !groups.isEmpty else { throw AdapterError.notAnAdapter(file: file.location, found: "it is empty") }
        let configuration = try PEFTConfiguration(metadata: file.metadata, file: file.location)
        return try groups.mapValues { try $0.module(configuration) }
    }

    /// A number of any type: older writers stored integers and halves.
    private static func number(_ key: String, _ file: SafetensorsFile) throws -> Tensor {
        let isFloat = try file.entry(key).dtype.tensorType != nil
        let values = isFloat ? try file.tensor(key).array : try file.integers(key).map { Float($0) }
        guard values.count == 1, values[0].isFinite else {
            throw AdapterError.malformedModule(key: key, reason: "is not one number", file: file.location)
        }
        return .scalar(values[0])
    }

    /// Writes tensors as Kohya's scripts do, both hashes added to the metadata: whole or not at all.
    static func write(
        _ tensors: [(name: String, tensor: Tensor)], to path: String, precision: DType, metadata: [String: String]
    ) throws(AdapterError) {
        do throws(CheckpointError) {
            let hashes = try SafetensorsWriter.hashes(tensors, metadata: metadata, dtype: precision)
            let complete = metadata.merging(["sshs_model_hash": hashes.model, "sshs_legacy_hash": hashes.legacy]) { $1 }
            try SafetensorsWriter.write(tensors, metadata: complete, to: path, dtype: precision)
        } catch {
            throw .checkpoint(error)
        }
    }
}

/// A module's tensors by ending, on their way to a `StoredModule`. Shapes are checked against each other here, against the
/// layer later.
private struct ModuleTensors {
    let name: String
    let file: String
    private var path: String?
    private var tensors: [String: Tensor] = [:]
    private var blocks: [Bool: [Int: Tensor]] = [:]

    init(name: String, file: String) {
        self.name = name
        self.file = file
    }

    mutating func add(_ key: AdapterKey, _ tensor: Tensor) throws(AdapterError) {
        guard tensor.count > 0, tensor.isFinite else {
            throw malformed(tensor.count > 0 ? "holds values that are not finite" : "\(key.ending) is empty")
        }
        path = key.path ?? path
        // PEFT's magnitudes are per output, a kernel's as [1, out, 1, 1], which Kohya's files would mean per input.
        let tensor = key.ending == "dora_scale" && key.path != nil ? tensor.reshaped([-1]) : tensor
        if let block = AdapterKey.block(key.ending) {
            blocks[block.isUp, default: [:]][block.index] = tensor
        } else {
            guard tensors.updateValue(tensor, forKey: key.ending) == nil else { throw malformed("has \(key.ending) twice, under two names") }
        }
    }

    func module(_ configuration: PEFTConfiguration) throws(AdapterError) -> StoredModule {
        if !blocks.isEmpty { return try joined().module(configuration) }
        let has = { (prefix: String) in tensors.keys.contains { $0.hasPrefix(prefix) } }
        if has("hada_") { return .dense(try loHa(), magnitude: try take(only: ["hada_"])) }
        if has("lokr_") { return .dense(try loKr(), magnitude: try take(only: ["lokr_"])) }
        if has("lora_") { return try loRA(configuration) }
        if has("diff") || has("w_norm") || has("b_norm") { return try difference() }
        throw malformed("has \(tensors.keys.sorted().joined(separator: ", ")) and no factors")
    }

    // MARK: Types

    private func loRA(_ configuration: PEFTConfiguration) throws(AdapterError) -> StoredModule {
        let down = try factor("lora_down.weight"), up = try factor("lora_up.weight")
        let rank = down.shape[0]
        guard up.shape[1] == rank, up.rank == 2 || (up.shape[2] == 1 && up.shape[3] == 1) else {
            throw malformed("matrices \(down.shape) and \(up.shape) do not multiply")
        }
        let told = path.flatMap { configuration.alpha(of: AdapterPart(name: name), path: $0, rank: rank) }
        let alpha = alpha(rank, told), magnitude = try take(only: ["lora_"])
        if let core = tensors["lora_mid.weight"] {
            guard core.rank == 4, core.shape[0] == rank, core.shape[1] == rank, down.count == rank * down.shape[1] else {
                throw malformed("core \(core.shape) does not fit \(down.shape) and \(up.shape)")
            }
        } else if magnitude == nil {
            return .lora(LoRAFactors(down: down, up: scaled(up), alpha: alpha))
        }
        return .dense(
            LoCon(down: parameter("lora_down.weight", down), up: parameter("lora_up.weight", scaled(up)),
                core: tensors["lora_mid.weight"].map { parameter("lora_mid.weight", $0) }, alpha: alpha),
            magnitude: magnitude)
    }

    private func loHa() throws(AdapterError) -> LoHa {
        let w1a = try matrix("hada_w1_a"), w1b = try matrix("hada_w1_b"), w2a = try matrix("hada_w2_a"), w2b = try matrix("hada_w2_b")
        let first = tensors["hada_t1"], second = tensors["hada_t2"], rank = w1b.shape[0]
        let inner = first == nil ? 1 : 0                                  // the axis of r in the first factors
        guard w1a.shape[inner] == rank, w2a.shape == w1a.shape, w2b.shape == w1b.shape, (first == nil) == (second == nil) else {
            throw malformed("factors \(w1a.shape), \(w1b.shape), \(w2a.shape) and \(w2b.shape) do not go together")
        }
        if let first, let second {
            guard first.rank == 4, first.shape == second.shape, first.shape[0] == rank, first.shape[1] == rank else {
                throw malformed("cores \(first.shape) and \(second.shape) do not fit rank \(rank)")
            }
        }
        return LoHa(
            w1a: parameter("hada_w1_a", scaled(w1a)), w1b: parameter("hada_w1_b", w1b), w2a: parameter("hada_w2_a", w2a), w2b: parameter("hada_w2_b", w2b),
            cores: first.flatMap { a in second.map { (parameter("hada_t1", a), parameter("hada_t2", $0)) } }, alpha: alpha(rank))
    }

    private func loKr() throws(AdapterError) -> LoKr {
        let first = try half("w1", core: nil, scaling: true), second = try half("w2", core: tensors["lokr_t2"], scaling: false)
        return LoKr(first: first, second: second, alpha: alpha(first.rank ?? second.rank ?? 1))
    }

    private func half(_ ending: String, core: Tensor?, scaling: Bool) throws(AdapterError) -> LoKr.Half {
        func scaledIfAsked(_ tensor: Tensor) -> Tensor { scaling ? scaled(tensor) : tensor }
        if let whole = tensors["lokr_\(ending)"] {
            guard tensors["lokr_\(ending)_a"] == nil, tensors["lokr_\(ending)_b"] == nil, core == nil, whole.rank == 2 || (whole.rank == 4 && ending == "w2") else {
                throw malformed("lokr_\(ending) \(whole.shape) is not whole, or stands beside its own factors")
            }
            return .whole(parameter("lokr_\(ending)", scaledIfAsked(whole)))
        }
        let a = try matrix("lokr_\(ending)_a")
        guard let b = tensors["lokr_\(ending)_b"], b.rank == 2 || (b.rank == 4 && ending == "w2" && core == nil), b.shape[0] == a.shape[core == nil ? 1 : 0] else {
            throw malformed("lokr_\(ending)_a \(a.shape) and lokr_\(ending)_b \(tensors["lokr_\(ending)_b"]?.shape ?? []) do not multiply")
        }
        let left = parameter("lokr_\(ending)_a", scaledIfAsked(a)), right = parameter("lokr_\(ending)_b", b)
        guard let core else { return .product(left, right) }
        guard core.rank == 4, core.shape[0] == b.shape[0], core.shape[1] == b.shape[0] else { throw malformed("core \(core.shape) does not fit rank \(b.shape[0])") }
        return .tucker(parameter("lokr_t2", core), left, right)
    }

    private func difference() throws(AdapterError) -> StoredModule {
        guard tensors["dora_scale"] == nil else { throw malformed("has dora_scale without factors") }
        let weight = tensors["diff"] ?? tensors["w_norm"], shift = tensors["diff_b"] ?? tensors["b_norm"]
        guard let weight else { throw malformed("has a bias difference without a weight difference") }
        guard [1, 2, 4].contains(weight.rank), shift.map({ $0.rank == 1 && $0.count == weight.shape[0] }) ?? true else {
            throw malformed("differences \(weight.shape) and \(shift?.shape ?? []) do not go together")
        }
        // A difference of one axis is a normalisation layer's, however it is named.
        if weight.rank == 1 { return .norm(scale: weight, shift: shift) }
        return .dense(FullDifference(weight: parameter("diff", weight), shift: shift.map { parameter("diff_b", $0) }), magnitude: nil)
    }

    /// DyLoRA's blocks stacked into the two matrices of a LoRA.
    private func joined() throws(AdapterError) -> ModuleTensors {
        var result = self
        result.blocks = [:]
        for (isUp, ending) in [(true, "lora_up.weight"), (false, "lora_down.weight")] {
            let list = blocks[isUp] ?? [:], parts = list.sorted { $0.key < $1.key }.map(\.value)
            guard let first = parts.first, list.keys.sorted() == Array(0..<list.count), parts.allSatisfy({ $0.rank == 2 && $0.shape == first.shape }), tensors[ending] == nil else {
                throw malformed("DyLoRA blocks of \(ending) are missing or differ in shape")
            }
            result.tensors[ending] = Tensor.concatenated(parts, axis: isUp ? 1 : 0)
        }
        return result
    }

    // MARK: Pieces

    /// α; 0 and none mean the rank.
    private func alpha(_ rank: Int, _ told: Float? = nil) -> Float {
        let value = tensors["alpha"]?.item() ?? told ?? 0
        return value == 0 ? Float(rank) : value
    }

    /// Times LyCORIS' learned factor, where the file has it apart.
    private func scaled(_ tensor: Tensor) -> Tensor { tensors["scalar"].map { tensor * $0.item() } ?? tensor }

    /// `dora_scale`, having made sure that no tensor of another type stands beside.
    private func take(only prefixes: [String]) throws(AdapterError) -> Tensor? {
        let common: Set<String> = ["alpha", "scalar", "dora_scale"]
        if let other = tensors.keys.sorted().first(where: { key in !common.contains(key) && !prefixes.contains { key.hasPrefix($0) } }) {
            throw malformed("\(other) stands beside factors of another type")
        }
        return tensors["dora_scale"]
    }

    private func matrix(_ ending: String) throws(AdapterError) -> Tensor {
        guard let tensor = tensors[ending] else { throw malformed("has no \(ending)") }
        guard tensor.rank == 2 else { throw malformed("\(ending) \(tensor.shape) is no matrix") }
        return tensor
    }

    private func factor(_ ending: String) throws(AdapterError) -> Tensor {
        guard let tensor = tensors[ending] else { throw malformed("has half of a LoRA: no \(ending)") }
        guard [2, 4].contains(tensor.rank) else { throw malformed("\(ending) \(tensor.shape) is no matrix and no kernel") }
        return tensor
    }

    private func parameter(_ ending: String, _ tensor: Tensor) -> Parameter { Parameter("\(name).\(ending)", tensor) }

    private func malformed(_ reason: String) -> AdapterError { .malformedModule(key: name, reason: reason, file: file) }
}
