import Adapters
import Training

/// Kohya's `network_args`: `algo=loha conv_dim=4 factor=8`, what an adapter's code takes besides rank and alpha.
enum NetworkArguments {
    static let setting = TrainingSetting(option: .init(
        "network_args", .list(.text),
        "key=value pairs of the adapter's code: algo, conv_dim, conv_alpha, unit (DyLoRA), block_size (LyCORIS' DyLoRA), factor and decompose_both (LoKr), use_tucker.", isRepeatable: true)
    ) { values, configuration in
        for value in values {
            let texts: [String] = if case .list(let elements) = value { elements.map(\.text) } else { [value.text] }
            for pair in texts.flatMap({ $0.split(separator: " ") }) {
                let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
                guard parts.count == 2 else { throw LabError.invalid("network_args takes key=value pairs, got “\(pair)”", wayOut: "For example --network_args algo=loha,conv_dim=4.") }
                try set(parts[0], to: parts[1], &configuration)
            }
        }
    }

    static func set(_ key: String, to text: String, _ configuration: inout TrainingConfiguration) throws {
        switch key {
        case "algo": configuration.network = try kind(text, configuration.network)
        case "conv_dim": configuration.convolution = .init(rank: try whole(key, text, 0...1024), alpha: configuration.convolution?.alpha)
        case "conv_alpha": configuration.convolution = .init(rank: configuration.convolution?.rank ?? configuration.rank, alpha: try number(key, text))
        case "unit": configuration.network = .dylora(unit: try whole(key, text, 1...1024))
        case "block_size": configuration.network = .dylora(unit: try whole(key, text, 1...1024), rule: .prefix)
        case "factor":
            guard case .lokr(_, let both) = configuration.network else { throw onlyLoKr(key) }
            configuration.network = .lokr(factor: try whole(key, text, -1...4096), decomposesBoth: both)
        case "decompose_both":
            guard case .lokr(let factor, _) = configuration.network else { throw onlyLoKr(key) }
            configuration.network = .lokr(factor: factor, decomposesBoth: try truth(key, text))
        case "use_tucker", "use_cp": configuration.usesCores = try truth(key, text)
        case "preset" where ["full", "full-lin", "attn-mlp", "unet-transformer-only"].contains(text): break
        default:
            throw LabError.invalid("network_args: \(key)=\(text) is not known here", wayOut: "Known are algo, conv_dim, conv_alpha, unit, block_size, factor, decompose_both and use_tucker.")
        }
    }

    /// Names of LyCORIS' algorithms and of the GUI's types; a kind that is set already keeps its own settings.
    private static func kind(_ name: String, _ present: NetworkKind) throws(LabError) -> NetworkKind {
        switch (name.lowercased(), present) {
        case ("lora", _): return .standard
        case ("locon", _): return .locon
        case ("loha", _): return .loha
        case ("lokr", .lokr): return present
        case ("lokr", _): return .lokr()
        case ("dylora", .dylora): return present
        case ("dylora", _): return .dylora()
        default: throw .invalid("algo=\(name) is no adapter that is trained here", wayOut: "Known are lora, locon, loha, lokr and dylora.")
        }
    }

    private static func onlyLoKr(_ key: String) -> TrainingError { .contradiction("\(key) belongs to LoKr", wayOut: "Write algo=lokr before it.") }

    private static func whole(_ key: String, _ text: String, _ range: ClosedRange<Int>) throws(LabError) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw .invalid("\(key)=\(text): expected a whole number from \(range.lowerBound) to \(range.upperBound)", wayOut: "For example \(key)=4.")
        }
        return value
    }

    private static func number(_ key: String, _ text: String) throws(LabError) -> Float {
        guard let value = Float(text), value >= 0, value.isFinite else { throw .invalid("\(key)=\(text): expected a number of 0 or more", wayOut: "For example \(key)=1.") }
        return value
    }

    private static func truth(_ key: String, _ text: String) throws(LabError) -> Bool {
        switch text.lowercased() {
        case "true", "1": return true
        case "false", "0": return false
        default: throw .invalid("\(key)=\(text): expected True or False", wayOut: "For example \(key)=True.")
        }
    }
}
