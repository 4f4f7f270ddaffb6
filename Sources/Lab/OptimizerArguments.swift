import Training

/// Kohya's `optimizer_args`: `betas=0.9,0.99 eps=1e-8 weight_decay=0.01`, what an optimizer takes besides its rate.
enum OptimizerArguments {
    static let setting = TrainingSetting(option: .init(
        "optimizer_args", .sentence, "key=value pairs of the optimizer: betas=0.9,0.999 eps=1e-8 weight_decay=0.01.", isRepeatable: true)
    ) { values, configuration in
        for pair in pairs(values.map(\.text).joined(separator: " ")) {
            let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else {
                throw LabError.invalid("optimizer_args takes key=value pairs, got “\(pair)”", wayOut: "For example --optimizer_args \(example).")
            }
            try set(parts[0], to: parts[1], &configuration.adamW)
        }
    }

    private static let example = "betas=0.9,0.99 eps=1e-8 weight_decay=0.01"

    /// `betas=(0.9, 0.99) eps=1e-8` at the blanks that part pairs: a piece without `=` belongs to the one before it.
    private static func pairs(_ text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).reduce(into: []) { pairs, piece in
            if piece.contains("=") || pairs.isEmpty { pairs.append(String(piece)) } else { pairs[pairs.count - 1] += piece }
        }
    }

    private static func set(_ key: String, to text: String, _ adamW: inout AdamWSettings) throws(LabError) {
        switch key {
        case "betas":
            let parts = text.filter { !"()[]".contains($0) }.split(separator: ",").map(String.init)
            guard parts.count == 2 else { throw .invalid("betas=\(text): expected two numbers", wayOut: "For example betas=0.9,0.99.") }
            (adamW.beta1, adamW.beta2) = (try number(key, parts[0]), try number(key, parts[1]))
        case "eps": adamW.epsilon = try number(key, text)
        case "weight_decay": adamW.weightDecay = try number(key, text)
        default: throw .invalid("optimizer_args: \(key)=\(text) is nothing that AdamW takes", wayOut: "It takes betas, eps and weight_decay.")
        }
    }

    /// Ranges are those of the configuration.
    private static func number(_ key: String, _ text: String) throws(LabError) -> Double {
        guard let value = Double(text), value.isFinite else { throw .invalid("\(key): expected a number, got “\(text)”", wayOut: "For example \(example).") }
        return value
    }
}
