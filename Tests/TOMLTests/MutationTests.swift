import Foundation
import TestSupport
import Testing

import TOML

@Suite("TOML under mutation")
struct MutationTests {
    static let corpus: [[UInt8]] = ["train", "dataset", "spec"].map { name in
        guard let text = FileManager.default.contents(atPath: Golden.path("toml/\(name).toml")) else { preconditionFailure("no \(name).toml") }
        return Array(text)
    }

    /// Mutated texts: the same for the same seed.
    struct Mutations {
        /// Numerical Recipes' 64-bit linear congruential generator; its high bits are good enough here.
        private var state: UInt64
        private static let words = [
            "\"", "'", "\"\"\"", "'''", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "#", "\\", "\\u", "\\U0000", "\n", "\r\n", "\r", " ", "\t", "\u{0}", "\u{7F}", "\u{FEFF}", "犬",
            "inf", "nan", "true", "_", "-", "+", "e", "0x", "1979-05-27", "07:32:00", "99999999999999999999", "a.b", "a = 1\n", "[a]\n", "[[a]]\n", "[a.b]\n",
        ].map { Array($0.utf8) } + [[0xC3], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80]]

        init(seed: UInt64) { state = seed }

        private mutating func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(max(1, bound)))
        }

        /// A text of the corpus, or some lines of it, with up to five places changed.
        mutating func next(_ corpus: [[UInt8]]) -> [UInt8] {
            var text = corpus[below(corpus.count)]
            if below(2) == 0 {
                let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                text = Array(lines[below(lines.count)...].prefix(1 + below(6)).joined(separator: [UInt8(ascii: "\n")]))
            }
            for _ in 0..<below(6) {
                let start = below(text.count + 1), end = min(text.count, start + below(4))
                switch below(4) {
                case 0: text.replaceSubrange(start..<end, with: [UInt8(below(256))])
                case 1: text.removeSubrange(start..<end)
                case 2: text.insert(contentsOf: text[start..<min(text.count, start + below(40))], at: below(text.count + 1))
                default: text.replaceSubrange(start..<end, with: Self.words[below(Self.words.count)])
                }
            }
            return text
        }
    }

    @Test("every text ends with an error at a place in it, or with a table that is read again from its own text", arguments: 1...8)
    func mutations(seed: UInt64) throws {
        var mutations = Mutations(seed: seed), read = 0
        for _ in 0..<25_000 {
            let text = mutations.next(Self.corpus)
            do throws(TOMLError) {
                let table = try TOMLTable(utf8: text), written = table.description
                let again = try? TOMLTable(written).description
                guard again == written else {
                    Issue.record("\(String(decoding: text, as: UTF8.self).debugDescription) is written as \(written.debugDescription), read as \(again ?? "none")")
                    return
                }
                read += 1
            } catch {
                guard error.isInside(bytes: text.count) else {
                    Issue.record("\(String(decoding: text, as: UTF8.self).debugDescription): \(error)")
                    return
                }
            }
        }
        #expect((2_000..<23_000).contains(read))                                    // both ends are reached
    }
}
