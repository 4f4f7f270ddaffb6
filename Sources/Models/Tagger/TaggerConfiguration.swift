import Neural
import Text

extension Tagger {
    /// `config.json` as timm writes it: an architecture's name, and what differs from its defaults.
    public struct Configuration: Decodable, Sendable {
        /// "vit_base_patch16_224", without a tag behind a point.
        public let architecture: String
        public let classes: Int
        /// Pixels along a side of the pictures.
        public let imageSize: Int
        /// Of red, green and blue in 0...1.
        public let mean: [Float], deviation: [Float]
        let network: Network

        enum Network: Sendable {
            case viT(TaggerViT.Configuration), convNeXt(TaggerConvNeXt.Configuration), swinV2(TaggerSwinV2.Configuration)
        }

        private enum Keys: String, CodingKey {
            case architecture, classes = "num_classes", pool = "global_pool", arguments = "model_args", pretrained = "pretrained_cfg"
        }

        private struct Pretrained: Decodable { let num_classes: Int?, input_size: [Int]?, mean: [Float]?, std: [Float]? }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: Keys.self)
            // Older files hold the values of "pretrained_cfg" beside the rest.
            let own = try Pretrained(from: decoder), pretrained = try c.decodeIfPresent(Pretrained.self, forKey: .pretrained) ?? own
            architecture = String(try c.decode(String.self, forKey: .architecture).prefix { $0 != "." })
            var arguments = ModelArguments(try c.decodeIfPresent([String: JSON].self, forKey: .arguments) ?? [:])
            guard let start = ArchitectureName(architecture) else {
                throw ConfigurationError.unsupported(key: "architecture", value: "\"\(architecture)\"", supported: ArchitectureName.supported)
            }
            classes = try arguments.number("num_classes") ?? own.num_classes ?? pretrained.num_classes ?? 1000
            imageSize = try arguments.side("img_size") ?? pretrained.input_size?.last ?? start.imageSize
            mean = pretrained.mean ?? [0.5, 0.5, 0.5]
            deviation = pretrained.std ?? [0.5, 0.5, 0.5]
            let pool = try arguments.word("global_pool") ?? c.decodeIfPresent(String.self, forKey: .pool)
            switch start.kind {
            case .viT(let defaults): network = .viT(try defaults.changed(by: &arguments, pool: pool))
            case .convNeXt(let defaults): network = .convNeXt(try defaults.changed(by: &arguments, pool: pool))
            case .swinV2(let defaults): network = .swinV2(try defaults.changed(by: &arguments, pool: pool))
            }
            try arguments.requireNothingElse()
            try validate()
        }

        private func validate() throws(ConfigurationError) {
            try requirePositive([("num_classes", [classes]), ("img_size", [imageSize])])
            guard mean.count == 3, deviation.count == 3, deviation.allSatisfy({ $0 > 0 }) else {
                throw .invalid(key: "mean, std", value: "\(mean), \(deviation)", expected: "three numbers each, deviations above 0")
            }
            switch network {
            case .viT(let c):
                try requirePositive([("patch_size", [c.patchSize]), ("embed_dim", [c.width]), ("depth", [c.depth]), ("num_heads", [c.heads])])
                try requireDivisor("num_heads", c.heads, of: "embed_dim", c.width)
                try requireDivisor("patch_size", c.patchSize, of: "img_size", imageSize)
            case .convNeXt(let c):
                try requirePositive([("depths", c.depths), ("dims", c.widths), ("patch_size", [c.patchSize]), ("kernel_sizes", c.kernels)])
                try requireLength("depths", c.depths, 4)
                try requireLength("dims", c.widths, 4)
                try requireLength("kernel_sizes", c.kernels, 4)
                guard c.kernels.allSatisfy({ $0 % 2 == 1 }) else { throw .invalid(key: "kernel_sizes", value: "\(c.kernels)", expected: "odd sizes") }
                guard imageSize >= 8 * c.patchSize else {
                    throw .invalid(key: "img_size", value: "\(imageSize)", expected: "\(8 * c.patchSize) or more, a cell of the last stage")
                }
            case .swinV2(let c):
                try requirePositive([("depths", c.depths), ("num_heads", c.heads), ("window_size", c.windows), ("embed_dim", [c.width]), ("patch_size", [c.patchSize])])
                try requireLength("num_heads", c.heads, c.depths.count)
                try requireLength("window_size", c.windows, c.depths.count)
                try requireLength("pretrained_window_sizes", c.pretrainedWindows, c.depths.count)
                for (stage, heads) in c.heads.enumerated() { try requireDivisor("num_heads", heads, of: "embed_dim", c.width << stage) }
                try requireDivisor("patch_size", c.patchSize, of: "img_size", imageSize)
            }
        }

        private func requireDivisor(_ key: String, _ value: Int, of other: String, _ whole: Int) throws(ConfigurationError) {
            guard whole % value == 0 else { throw .invalid(key: key, value: "\(value)", expected: "a divisor of \(other), \(whole)") }
        }

        private func requireLength(_ key: String, _ values: [Int], _ count: Int) throws(ConfigurationError) {
            guard values.count == count else { throw .invalid(key: key, value: "\(values)", expected: "\(count) numbers, one for each stage") }
        }
    }
}

/// What timm's names of architectures stand for.
struct ArchitectureName {
    enum Kind { case viT(TaggerViT.Configuration), convNeXt(TaggerConvNeXt.Configuration), swinV2(TaggerSwinV2.Configuration) }
    let kind: Kind
    let imageSize: Int

    static let supported = "vit_{tiny,small,base,large,huge}_patchN_N, convnext_{tiny,small,base,large,xlarge}, swinv2_{tiny,small,base,large}_windowN_N"

    init?(_ name: String) {
        let parts = name.split(separator: "_").map(String.init)
        guard parts.count >= 2 else { return nil }
        switch parts[0] {
        case "vit":
            let sizes = ["tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16), "huge": (1280, 32, 16)]
            guard parts.count == 4, let (width, depth, heads) = sizes[parts[1]], parts[2].hasPrefix("patch"),
                let patch = Int(parts[2].dropFirst(5)), let size = Int(parts[3])
            else { return nil }
            kind = .viT(.init(patchSize: patch, width: width, depth: depth, heads: heads))
            imageSize = size
        case "convnext":
            let sizes = ["tiny": ([3, 3, 9, 3], 96), "small": ([3, 3, 27, 3], 96), "base": ([3, 3, 27, 3], 128), "large": ([3, 3, 27, 3], 192),
                "xlarge": ([3, 3, 27, 3], 256)]
            guard parts.count == 2, let (depths, width) = sizes[parts[1]] else { return nil }
            kind = .convNeXt(.init(depths: depths, widths: (0..<4).map { width << $0 }))
            imageSize = 224
        case "swinv2":
            let sizes = ["tiny": ([2, 2, 6, 2], 96, 3), "small": ([2, 2, 18, 2], 96, 3), "base": ([2, 2, 18, 2], 128, 4), "large": ([2, 2, 18, 2], 192, 6)]
            guard parts.count == 4, let (depths, width, heads) = sizes[parts[1]], parts[2].hasPrefix("window"),
                let window = Self.lastNumber(parts[2].dropFirst(6)), let size = Self.lastNumber(parts[3][...])
            else { return nil }
            // "window12to24": widened after training with 12, the last stage with half of it.
            let trained = parts[2].contains("to") ? Int(parts[2].dropFirst(6).prefix { $0.isNumber }) ?? 0 : 0
            kind = .swinV2(.init(
                width: width, depths: depths, heads: (0..<4).map { heads << $0 }, windows: Array(repeating: window, count: 4),
                pretrainedWindows: [trained, trained, trained, trained / 2]))
            imageSize = size
        default: return nil
        }
    }

    /// 24 of "12to24", 8 of "8".
    private static func lastNumber(_ text: Substring) -> Int? { text.split(separator: "to").last.flatMap { Int($0) } }
}

/// timm's `model_args`: read one by one, so that an argument that nothing has read is told and not passed over.
struct ModelArguments {
    private var values: [String: JSON]

    /// Arguments that only training, or the way of starting, depends on.
    private static let ignorable: Set<String> = [
        "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate", "pos_drop_rate", "patch_drop_rate", "weight_init", "fix_init",
        "head_init_scale", "strict_img_size", "dynamic_img_size", "dynamic_img_pad",
    ]

    init(_ values: [String: JSON]) { self.values = values.filter { !Self.ignorable.contains($0.key) } }

    /// The argument, counted as read. Null counts as absent, as in timm.
    mutating func take(_ key: String) -> JSON? {
        let value = values.removeValue(forKey: key)
        return value == .null ? nil : value
    }

    mutating func number(_ key: String) throws(ConfigurationError) -> Int? {
        guard let value = take(key) else { return nil }
        guard let whole = value.integer else { throw invalid(key, value, "a whole number") }
        return whole
    }

    mutating func decimal(_ key: String) throws(ConfigurationError) -> Double? {
        guard let value = take(key) else { return nil }
        guard let number = value.double else { throw invalid(key, value, "a number") }
        return number
    }

    mutating func flag(_ key: String) throws(ConfigurationError) -> Bool? {
        guard let value = take(key) else { return nil }
        guard let flag = value.bool else { throw invalid(key, value, "true or false") }
        return flag
    }

    mutating func word(_ key: String) throws(ConfigurationError) -> String? {
        guard let value = take(key) else { return nil }
        guard let word = value.string else { throw invalid(key, value, "a word") }
        return word
    }

    /// A number, or a list of them.
    mutating func numbers(_ key: String) throws(ConfigurationError) -> [Int]? {
        guard let value = take(key) else { return nil }
        let list = value.array ?? [value]
        return try list.map { item throws(ConfigurationError) in
            guard let whole = item.integer else { throw invalid(key, value, "whole numbers") }
            return whole
        }
    }

    /// One number for each of `count` stages, from one for all or two that say the same for both sides.
    mutating func numbers(_ key: String, each count: Int) throws(ConfigurationError) -> [Int]? {
        guard let numbers = try numbers(key) else { return nil }
        let isOneForAll = numbers.count == 1 || numbers.count == 2 && count != 2 && numbers[0] == numbers[1]
        return isOneForAll ? Array(repeating: numbers[0], count: count) : numbers
    }

    /// The side of a square, from one number or two equal ones.
    mutating func side(_ key: String) throws(ConfigurationError) -> Int? {
        guard let sides = try numbers(key) else { return nil }
        guard let side = sides.first, sides.allSatisfy({ $0 == side }) else {
            throw .unsupported(key: key, value: "\(sides)", supported: "squares")
        }
        return side
    }

    mutating func activation(_ key: String) throws(ConfigurationError) -> ActivationFunction? {
        guard let name = try word(key) else { return nil }
        let table: [String: ActivationFunction] = [
            "gelu": .gelu, "gelu_tanh": .tanhGELU, "quick_gelu": .quickGELU, "silu": .silu, "swish": .silu, "relu": .relu,
        ]
        guard let function = table[name] else {
            throw .unsupported(key: key, value: "\"\(name)\"", supported: table.keys.sorted().joined(separator: ", "))
        }
        return function
    }

    /// Requires an argument to be absent or to have the value that is built here.
    mutating func require(_ key: String, _ allowed: JSON...) throws(ConfigurationError) {
        guard let value = take(key), !allowed.contains(value) else { return }
        throw .unsupported(key: key, value: value.description, supported: allowed.map(\.description).joined(separator: ", "))
    }

    func requireNothingElse() throws(ConfigurationError) {
        guard let (key, value) = values.sorted(by: { $0.key < $1.key }).first(where: { $0.value != .null }) else { return }
        throw .unsupported(key: "model_args.\(key)", value: value.description, supported: "no such argument for this architecture")
    }

    private func invalid(_ key: String, _ value: JSON, _ expected: String) -> ConfigurationError {
        .invalid(key: "model_args.\(key)", value: value.description, expected: expected)
    }
}
