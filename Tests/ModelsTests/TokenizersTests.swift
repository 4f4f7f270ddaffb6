import Foundation
import Models
import Testing

/// What transformers made of each string; see Tests/Fixtures/make_tokenizers.py.
private enum TokenizerFixture {
    struct CLIPRow: Decodable { let text: String, ids: [Int], padded: [Int], decoded: String }
    struct BERTRow: Decodable { let text: String, ids: [Int], decoded: String }

    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/tokenizers/\(name)").path
    }

    static func rows<Row: Decodable>(_ name: String, as _: Row.Type) throws -> [Row] {
        try JSONDecoder().decode([Row].self, from: Data(contentsOf: URL(fileURLWithPath: path(name))))
    }

    static func captions() throws -> [String] {
        try String(contentsOfFile: path("captions.txt"), encoding: .utf8).split(separator: "\n").map(String.init)
    }

    static func temporaryFolder() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent("tokenizers-\(UUID().uuidString)").path
    }
}

/// Equality by scalars: Swift's own would take canonically equal texts for the same.
private func sameScalars(_ a: String, _ b: String) -> Bool { a.unicodeScalars.elementsEqual(b.unicodeScalars) }

/// Time this thread spent computing, whatever else the machine is doing.
private func processorSeconds(_ body: () -> Void) -> Double {
    func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    let start = now()
    body()
    return now() - start
}

@Suite struct CLIPTokenizerTests {
    @Test("ids, padding and decoded text are transformers'", arguments: ["clip", "clip-pad"])
    func matchesTransformers(_ name: String) throws {
        let tokenizer = try CLIPTokenizer(folder: TokenizerFixture.path(name))
        let rows = try TokenizerFixture.rows(name + ".json", as: TokenizerFixture.CLIPRow.self)
        #expect(rows.count >= 200)
        for row in rows {
            #expect(tokenizer.tokenize(row.text) == row.ids, "\(row.text.debugDescription)")
            let padded = tokenizer.encode(row.text)
            #expect(padded.count == 77 && Array(padded.prefix(3) + padded.suffix(3)) == row.padded, "\(row.text.debugDescription)")
            #expect(sameScalars(tokenizer.decode(padded), row.decoded), "\(row.text.debugDescription)")
        }
    }

    @Test("a long caption is cut every 75 tokens, each chunk with start and end")
    func chunks() throws {
        let tokenizer = try CLIPTokenizer(folder: TokenizerFixture.path("clip"))
        let text = [String](repeating: "red cube", count: 50).joined(separator: " ")     // 100 words of one token
        let words = tokenizer.tokenize(text)
        try #require(words.count == 100)
        let chunks = tokenizer.encodeChunks(text, maximumTokens: 225)
        let end = tokenizer.endID
        #expect(chunks.map(\.count) == [77, 77, 77])
        #expect(chunks[0] == [tokenizer.startID] + words[..<75] + [end])
        #expect(chunks[1] == [tokenizer.startID] + words[75...] + [Int](repeating: end, count: 51))
        #expect(chunks[2] == [tokenizer.startID] + [Int](repeating: end, count: 76))
        #expect(tokenizer.encodeChunks(text, maximumTokens: 75) == [tokenizer.encode(text)])
    }

    @Test("where padding is another token, a full chunk and an empty chunk still get their end")
    func chunksWithOtherPadding() throws {
        let tokenizer = try CLIPTokenizer(folder: TokenizerFixture.path("clip-pad"))
        let text = [String](repeating: "cube", count: 100).joined(separator: " ")
        let (start, end, pad) = (tokenizer.startID, tokenizer.endID, tokenizer.padID)
        try #require(pad != end)
        let word = tokenizer.tokenize("cube")
        let chunks = tokenizer.encodeChunks(text, maximumTokens: 225)
        #expect(chunks[0] == [start] + [Int](repeating: word[0], count: 75) + [end])
        #expect(chunks[1] == [start] + [Int](repeating: word[0], count: 25) + [end] + [Int](repeating: pad, count: 50))
        #expect(chunks[2] == [start, end] + [Int](repeating: pad, count: 75))
    }

    @Test("a prompt of 5,000 characters without a space is 77 ids, soon")
    func longPrompt() throws {
        let tokenizer = try CLIPTokenizer(folder: TokenizerFixture.path("clip"))
        let time = processorSeconds {
            for text in [String(repeating: "ab", count: 2_500), String(repeating: "🙂", count: 5_000), String(repeating: "立", count: 5_000)] {
                #expect(tokenizer.encode(text).count == 77)
            }
        }
        #expect(time < 1)
    }

    @Test("10,000 captions take less than a second")
    func speed() throws {
        let tokenizer = try CLIPTokenizer(folder: TokenizerFixture.path("clip"))
        let captions = try TokenizerFixture.captions()
        var total = 0
        let time = processorSeconds { for index in 0..<10_000 { total += tokenizer.encode(captions[index % captions.count]).count } }
        #expect(total == 770_000)
        #expect(time < 1, "\(time) s")
        print("CLIPTokenizer: \(Int(10_000 / time)) captions a second")
    }

    @Test("files that are wrong are told with path and line")
    func wrongFiles() throws {
        let folder = TokenizerFixture.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try BPETrainer(texts: ["red cube"], mergeLimit: 4).vocabulary.write(folder: folder)
        #expect(throws: Never.self) { try CLIPTokenizer(folder: folder) }

        try "#version: 0.2\nonesymbol\n".write(toFile: folder + "/merges.txt", atomically: true, encoding: .utf8)
        #expect(throws: TokenizerError.malformed(
            path: folder + "/merges.txt", line: 2, expected: "two symbols separated by one space", found: "\"onesymbol\"")
        ) { try CLIPTokenizer(folder: folder) }

        try "{\"a\": 0}".write(toFile: folder + "/vocab.json", atomically: true, encoding: .utf8)
        #expect(throws: TokenizerError.missingToken(path: folder + "/vocab.json", token: "<|startoftext|>")) { try CLIPTokenizer(folder: folder) }
        #expect(throws: TokenizerError.self) { try CLIPTokenizer(folder: folder + "/nowhere") }
    }
}

@Suite struct BPETrainerTests {
    @Test("learns what the plain algorithm learns and writes the same vocabulary")
    func matchesReferee() throws {
        let folder = TokenizerFixture.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try BPETrainer(texts: TokenizerFixture.captions(), mergeLimit: 400).vocabulary.write(folder: folder)
        for name in ["merges.txt", "vocab.json"] {
            #expect(FileManager.default.contentsEqual(atPath: folder + "/" + name, andPath: TokenizerFixture.path("clip/" + name)), "\(name)")
        }
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            func object(_ path: String) throws -> NSDictionary? {
                try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? NSDictionary
            }
            #expect(try object(folder + "/" + name) == object(TokenizerFixture.path("clip/" + name)), "\(name)")
        }
    }

    @Test("joins the most frequent pair first, of equals the first in order, and stops when words are whole")
    func order() {
        // "ab" three times, "cd" twice: a b</w> first, then c d</w>, then nothing is left.
        let trainer = BPETrainer(texts: ["ab ab ab cd cd"], mergeLimit: 10)
        #expect(trainer.merges.map { "\($0.0) \($0.1)" } == ["a b</w>", "c d</w>"])
        #expect(BPETrainer(texts: ["cd ab"], mergeLimit: 1).merges.map { $0.0 } == ["a"])
        #expect(trainer.vocabulary.tokens.count == 512 + 2 + 2)
    }
}

@Suite struct BERTTokenizerTests {
    @Test("ids and decoded text are transformers'")
    func matchesTransformers() throws {
        let tokenizer = try BERTTokenizer(vocabulary: TokenizerFixture.path("bert/vocab.txt"))
        let rows = try TokenizerFixture.rows("bert.json", as: TokenizerFixture.BERTRow.self)
        #expect(rows.count >= 1_000)
        for row in rows {
            #expect(tokenizer.encode(row.text) == row.ids, "\(row.text.debugDescription)")
            #expect(sameScalars(tokenizer.decode(row.ids), row.decoded), "\(row.text.debugDescription)")
        }
    }

    @Test("tokens added beyond the vocabulary are numbered on")
    func addedTokens() throws {
        let plain = try BERTTokenizer(vocabulary: TokenizerFixture.path("bert/vocab.txt"))
        let tokenizer = try BERTTokenizer(vocabulary: TokenizerFixture.path("bert/vocab.txt"), added: ["[DEC]", "[ENC]"])
        #expect(tokenizer.id("[DEC]") == plain.vocabularySize && tokenizer.id("[ENC]") == plain.vocabularySize + 1)
        #expect(tokenizer.tokenize("[DEC] red") == [plain.vocabularySize] + plain.tokenize("red"))
    }

    @Test("a vocabulary built from captions has every word whole and nothing unknown")
    func builtVocabulary() throws {
        let path = TokenizerFixture.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let captions = ["a glossy red cube, 3d icon", "three-quarter view, white background"]
        try WordPieceVocabulary(texts: captions).write(to: path)
        let tokenizer = try BERTTokenizer(vocabulary: path)
        #expect(tokenizer.padID == 0 && tokenizer.id("[DEC]") == 5)
        #expect(tokenizer.tokenize(captions[0]).count == 7)
        for caption in captions { #expect(!tokenizer.tokenize(caption).contains(tokenizer.unknownID)) }
        #expect(tokenizer.decode(tokenizer.encode(captions[0])) == captions[0])
        #expect(tokenizer.decode(tokenizer.encode("an unheard word")) == "an unheard word")
    }

    @Test("a vocabulary without its special tokens is refused")
    func missingToken() throws {
        let path = TokenizerFixture.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "[PAD]\n[UNK]\n[CLS]\na\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: TokenizerError.missingToken(path: path, token: "[SEP]")) { try BERTTokenizer(vocabulary: path) }
    }
}
