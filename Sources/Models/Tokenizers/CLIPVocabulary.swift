import Foundation

/// A CLIP vocabulary, which its merges alone determine, and CLIP's files of it.
///
/// The order of ids is CLIP's: 256 byte symbols, the same with `</w>`, one entry a merge, then the two special tokens.
public struct CLIPVocabulary {
    /// Pairs of symbols that are joined, best first.
    public let merges: [(String, String)]

    public init(merges: [(String, String)]) { self.merges = merges }

    /// The published list of byte-pair merges (`bpe_simple_vocab_16e6.txt` of OpenAI's CLIP): a header, then one pair a line, of
    /// which the first 48,894 count.
    /// - Throws: `TokenizerError.malformed` for any other text.
    public init(published text: String, path: String) throws(TokenizerError) {
        let lines = text.split(separator: "\n").dropFirst().prefix(Self.publishedMerges).map { $0.split(separator: " ").map(String.init) }
        guard lines.count == Self.publishedMerges, lines.allSatisfy({ $0.count == 2 }) else {
            throw .malformed(path: path, line: nil, expected: "CLIP's list of byte-pair merges", found: "\(lines.count) lines of it")
        }
        self.init(merges: lines.map { ($0[0], $0[1]) })
    }

    /// Where `loralab fetch-vocabulary` puts it, for models that come without their tokenizer.
    public static var folder: String {
        let data = ProcessInfo.processInfo.environment["XDG_DATA_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory() + "/.local/share"
        return data + "/loralab/clip"
    }

    /// 49,408 tokens in all.
    private static let publishedMerges = 49_408 - 2 * 256 - 2

    /// Tokens in the order of their ids.
    public var tokens: [String] {
        let symbols = ByteAlphabet.order.map { String(ByteAlphabet.symbols[Int($0)]) }
        return symbols + symbols.map { $0 + "</w>" } + merges.map { $0.0 + $0.1 } + [CLIPTokenizer.startToken, CLIPTokenizer.endToken]
    }

    /// Writes `vocab.json`, `merges.txt`, `tokenizer_config.json` and `special_tokens_map.json` into a folder, made where it is missing.
    public func write(folder: String, modelMaxLength: Int = 77) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        func write(_ text: String, _ name: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name), options: .atomic)
        }
        let entries = tokens.enumerated().map { "\(Self.quoted($0.element)): \($0.offset)" }
        try write("{" + entries.joined(separator: ", ") + "}", "vocab.json")
        try write((["#version: 0.2"] + merges.map { "\($0.0) \($0.1)" }).joined(separator: "\n") + "\n", "merges.txt")
        try write(Self.configuration(modelMaxLength: modelMaxLength), "tokenizer_config.json")
        try write(Self.specialTokensMap, "special_tokens_map.json")
    }

    /// A JSON string; of the vocabulary's characters only these two need escaping.
    private static func quoted(_ token: String) -> String {
        "\"" + token.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }

    private static func added(_ token: String) -> String {
        "{\"content\": \"\(token)\", \"lstrip\": false, \"normalized\": true, \"rstrip\": false, \"single_word\": false}"
    }

    private static var specialTokensMap: String {
        """
        {
          "bos_token": \(added(CLIPTokenizer.startToken)),
          "eos_token": \(added(CLIPTokenizer.endToken)),
          "pad_token": "\(CLIPTokenizer.endToken)",
          "unk_token": \(added(CLIPTokenizer.endToken))
        }

        """
    }

    private static func configuration(modelMaxLength: Int) -> String {
        func typed(_ token: String) -> String { "{\"__type\": \"AddedToken\", " + added(token).dropFirst() }
        return """
            {
              "add_prefix_space": false,
              "bos_token": \(typed(CLIPTokenizer.startToken)),
              "do_lower_case": true,
              "eos_token": \(typed(CLIPTokenizer.endToken)),
              "errors": "replace",
              "model_max_length": \(modelMaxLength),
              "pad_token": "\(CLIPTokenizer.endToken)",
              "tokenizer_class": "CLIPTokenizer",
              "unk_token": \(typed(CLIPTokenizer.endToken))
            }

            """
    }
}
