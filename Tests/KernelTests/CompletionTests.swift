import Glibc
import Kernel
import Testing

@Suite struct CompletionTests {
    private let table = MagicTable([SampleMagic()])

    private func complete(_ code: String, at cursor: Int? = nil) -> (texts: [String], range: Range<Int>) {
        let completion = Completion(of: code, at: cursor ?? code.unicodeScalars.count, table)
        return (completion.matches.map(\.text), completion.range)
    }

    @Test("names, options, values, subcommands and suggestions", arguments: [
        ("%dr", ["%draw"], 0..<3), ("%%d", ["%%display", "%%draw"], 0..<3), ("dra", ["%draw"], 0..<3), ("%draw --ne", ["--network_dim"], 6..<10), ("%draw --ra", ["--rank"], 6..<10),
        ("%draw --optimizer S", ["SGD"], 18..<19), ("%draw --optimizer=ad", ["AdamW", "AdamW8bit"], 18..<20), ("%draw re", ["resize"], 6..<8), ("%draw --tag g", ["green"], 12..<13),
        ("%draw --fast=f", ["false"], 13..<14), ("# c\n%dr", ["%draw"], 4..<7), ("%draw a \\\n --fa", ["--fast"], 11..<15), ("%help dra", ["draw"], 6..<9),
    ] as [(String, [String], Range<Int>)])
    func matches(code: String, texts: [String], range: Range<Int>) {
        let found = complete(code)
        #expect(found.texts == texts)
        #expect(found.range == range)
    }

    @Test("nothing to offer leaves the text alone", arguments: ["let x", "%nothing --x", "# %dr", "%%draw\n%dr", "%draw --zzz", "%draw --lr 1", "%draw --rank 1 --rank"])
    func nothing(code: String) {
        let found = complete(code)
        #expect(found.texts.isEmpty && found.range == code.unicodeScalars.count..<code.unicodeScalars.count)
    }

    @Test("the whole word is replaced, also behind the cursor")
    func wholeWord() {
        #expect(complete("%draw --fxx y", at: 9).range == 6..<11)
        #expect(complete("%drxx y", at: 3).range == 0..<5)
    }

    @Test("every place of strange text is answered", arguments: ["%draw e\u{301} 🇩🇪 --'\\\n--tag \"", "\\\n\\", "%%\n%", "\r\n%dr\r\n"])
    func everyPlace(code: String) {
        for cursor in 0...code.unicodeScalars.count {
            let range = complete(code, at: cursor).range
            #expect(range.lowerBound >= 0 && range.upperBound <= code.unicodeScalars.count && range.contains(cursor) || range.upperBound == cursor)
            _ = Inspection.documentation(of: code, at: cursor, table)
        }
    }

    @Test("paths are completed from the disk, folders end in a slash, blanks are escaped")
    func paths() throws {
        let folder = "/tmp/paths-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        for path in ["", "/a b", "/abc", "/.hidden"] { mkdir(folder + path, 0o700) }
        close(open(folder + "/about.txt", O_CREAT, 0o600))
        #expect(complete("%draw --out \(folder)/a").texts == ["\(folder)/a\\ b/", "\(folder)/abc/"])
        #expect(complete("%draw --out \(folder)/.h").texts == ["\(folder)/.hidden/"])
        #expect(complete("%draw --out \(folder)/a\\ ").texts == ["\(folder)/a\\ b/"])
        #expect(complete("%draw --out /nowhere/x").texts.isEmpty)
    }

    @Test("inspection finds the option, else the magic", arguments: [("%draw", 2, "%draw"), ("%draw --rank 4", 9, "--network_dim"), ("%draw --rank 4", 14, "--network_dim"), ("%draw a cube", 8, "%draw"), ("?draw", 4, "%draw")] as [(String, Int, String)])
    func inspection(code: String, cursor: Int, start: String) throws {
        let data = try #require(Inspection.documentation(of: code, at: cursor, table))
        #expect(data.plain.hasPrefix(start) && data.markdown != nil)
    }

    @Test("inspection of what is no magic finds nothing", arguments: ["", "x", "%nothing", "# draw"])
    func inspectNothing(code: String) {
        #expect(Inspection.documentation(of: code, at: code.count, table) == nil)
    }
}
