import Foundation
import Text

/// The scale of a PEFT adapter, which its tensors do not tell: `lora_alpha` over the rank, by module.
///
/// Found in the metadata that diffusers writes (`lora_adapter_metadata`: one JSON object, keys prefixed by the part) or in
/// the `adapter_config.json` that peft puts beside its file. Without either, α equals the rank, as diffusers takes it.
struct PEFTConfiguration {
    /// α where no pattern matches; nil where the part is not described.
    private let alpha: [AdapterPart?: Double]
    private let patterns: [AdapterPart?: [(pattern: String, alpha: Double)]]
    private let stabilised: Set<AdapterPart?>

    /// - Throws: `AdapterError.malformedConfiguration` for text that is no such object.
    init(metadata: [String: String], file path: String) throws(AdapterError) {
        if let text = metadata["lora_adapter_metadata"] {
            let object = try Self.object(Data(text.utf8), "lora_adapter_metadata", path)
            try self.init([(.unet, "unet."), (.textEncoder, "text_encoder."), (.textEncoder2, "text_encoder_2.")], object, path)
        } else if path.hasSuffix("/adapter_model.safetensors"),
            let data = FileManager.default.contents(atPath: path.dropLast("adapter_model.safetensors".count) + "adapter_config.json") {
            try self.init([(nil, "")], Self.object(data, "adapter_config.json", path), path)
        } else {
            try self.init([], [:], path)
        }
    }

    private init(_ parts: [(AdapterPart?, String)], _ object: [String: JSON], _ path: String) throws(AdapterError) {
        var alpha: [AdapterPart?: Double] = [:], patterns: [AdapterPart?: [(String, Double)]] = [:], stabilised: Set<AdapterPart?> = []
        for (part, prefix) in parts {
            if let value = object[prefix + "lora_alpha"] {
                guard let number = value.double else { throw .malformedConfiguration(reason: "\(prefix)lora_alpha is not a number", file: path) }
                alpha[part] = number
            }
            if let table = object[prefix + "alpha_pattern"]?.object {
                // peft takes the first that matches; its writers sort the keys.
                patterns[part] = table.sorted { $0.key < $1.key }.compactMap { key, value in value.double.map { (key, $0) } }
            }
            if object[prefix + "use_rslora"] == true { stabilised.insert(part) }
        }
        (self.alpha, self.patterns, self.stabilised) = (alpha, patterns, stabilised)
    }

    private static func object(_ data: Data, _ what: String, _ path: String) throws(AdapterError) -> [String: JSON] {
        guard let object = (try? JSON(parsing: [UInt8](data)))?.object else {
            throw .malformedConfiguration(reason: "\(what) is no JSON object", file: path)
        }
        return object
    }

    /// α of a module such that α / r is its scale; nil where nothing is said of it.
    /// - Parameter rank: the module's own, r.
    func alpha(of part: AdapterPart, path: String, rank: Int) -> Float? {
        let key: AdapterPart? = alpha[part] != nil ? part : nil
        guard let common = alpha[key] else { return nil }
        let own = patterns[key]?.first { Self.matches($0.pattern, path) }?.alpha ?? common
        // Rank-stabilised: the scale is α / √r (Kalajdzievski 2023, arXiv:2312.03732).
        return Float(stabilised.contains(key) ? own * Double(rank).squareRoot() : own)
    }

    /// Whether the path is the pattern or ends in it after a dot; `^` asks for the whole path. Further regular expressions,
    /// which PEFT would allow, match nothing here.
    private static func matches(_ pattern: String, _ path: String) -> Bool {
        let isWhole = pattern.hasPrefix("^")
        let literal = (isWhole ? String(pattern.dropFirst()) : pattern).replacingOccurrences(of: "\\.", with: ".")
        return path == literal || !isWhole && path.hasSuffix("." + literal)
    }
}
