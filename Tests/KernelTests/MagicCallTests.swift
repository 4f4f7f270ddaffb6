import Kernel
import Testing

@Suite struct MagicCallTests {
    private func call(_ arguments: String) throws -> MagicCall { try MagicCall(arguments: arguments, of: SampleMagic().specification) }

    @Test("options take their value after a blank or an equals sign; - and _ are the same", arguments: [
        "--network_dim 8", "--network-dim 8", "--network_dim=8", "--rank 8", "--rank=8.0", "-rank 8", "  --rank   8 ", "--rank '8'", "--NETWORK-DIM 8", "--rank 8e0",
    ])
    func spellings(arguments: String) throws {
        let call = try call(arguments)
        #expect(call.integer("network_dim") == 8)
        #expect(call.given == ["network_dim"])
    }

    @Test("what is not given has its default")
    func defaults() throws {
        let call = try call("")
        #expect(call.integer("network_dim") == 16 && call.number("lr") == 1e-4 && !call.isSet("fast") && call.integers("resolution") == [512, 512])
        #expect(call.string("optimizer") == "AdamW" && call.string("n") == nil && call.strings("tag").isEmpty && call.given.isEmpty && !call.isGiven("lr"))
    }

    @Test("flags are set by their name, unset by no, or say so", arguments: [("--fast", true), ("--no-fast", false), ("--no_fast", false), ("--fast=false", false), ("--fast=on", true)])
    func flags(arguments: String, isSet: Bool) throws {
        #expect(try call(arguments).isSet("fast") == isSet)
    }

    @Test("sentences go on to the next option")
    func sentences() throws {
        let call = try call("a red cube, don't blur (glossy:1.2) -ish -5 --n low quality, 'bad  art' --rank 4 on white")
        #expect(call.string("prompt") == "a red cube, don't blur (glossy:1.2) -ish -5 on white")
        #expect(call.string("n") == "low quality, bad  art")
        #expect(call.integer("network_dim") == 4)
    }

    @Test("lists are separated by commas, blanks may follow them", arguments: ["--resolution 768,512", "--resolution=768,512", "--resolution 768, 512"])
    func lists(arguments: String) throws {
        #expect(try call(arguments).integers("resolution") == [768, 512])
    }

    @Test("repeatable options keep all values in order")
    func repeats() throws {
        #expect(try call("--tag a --tag 'b c'").strings("tag") == ["a", "b c"])
    }

    @Test("choices do not mind case")
    func choices() throws {
        #expect(try call("--optimizer adamw8BIT").string("optimizer") == "AdamW8bit")
    }

    @Test("quotes and backslashes are a shell's", arguments: [
        ("'a  b'", "a  b"), ("\"a \\\" \\\\ \\n b\"", "a \" \\ \\n b"), ("a\\ \\ b", "a  b"), ("don't can't", "don't can't"), ("'it''s'", "its"), ("a \\\n  b", "a b"), ("-- --rank", "--rank"),
        ("'--rank'", "--rank"), ("''", ""), ("\\", "\\"), ("x\u{A0}y", "x y"),
    ])
    func quoting(arguments: String, prompt: String) throws {
        #expect(try call(arguments).string("prompt") == prompt)
    }

    @Test("a subcommand has a grammar of its own")
    func subcommands() throws {
        let call = try call("resize 3")
        #expect(call.subcommand == "resize" && call.integer("size") == 3)
        #expect(try self.call("'resize' 3").subcommand == nil)
        #expect(throws: MagicError.self) { try self.call("resize 3 --rank 4") }
    }

    @Test("mistakes name what was given, what is allowed, and the nearest name", arguments: [
        ("--rank 0", ["--rank", "1", "1024", "“0”"]), ("--rank 1e9", ["1e9"]), ("--rank four", ["whole number"]), ("--rank 1.5", ["whole number"]), ("--rank nan", ["whole number"]),
        ("--lr -1", ["above 0", "-1"]), ("--lr 0", ["above 0"]), ("--lr inf", ["number"]), ("--lr nan", ["number"]), ("--lr", ["needs a value"]), ("--lr --fast", ["needs a value"]),
        ("--lrr 1e-4", ["--lrr", "--lr?"]), ("--netwrk_dim 4", ["--network_dim?"]), ("--optimizer adam", ["AdamW", "Did you mean"]), ("--resolution 512,1", ["64"]), ("--resolution 512,,", ["whole"]),
        ("--rank 3 --rank 4", ["twice"]), ("--rank 3 --network_dim 4", ["twice"]), ("'open", ["never closed"]), ("--fast=maybe", ["true or false"]), ("--n", ["needs a value"]),
        ("--no-rank", ["--no-rank"]), ("--zebra", ["--network_dim"]),
    ] as [(String, [String])])
    func mistakes(arguments: String, words: [String]) throws {
        let error = try #require(#expect(throws: MagicError.self) { try self.call(arguments) })
        let shown = "\(error.message) \(error.hint ?? "")"
        #expect(error.name == "UsageError")
        for word in words { #expect(shown.contains(word), "\(shown)") }
    }

    @Test("positionals are counted")
    func positionals() throws {
        let two = MagicSpecification(name: "save", summary: "", positionals: [PositionalSpecification("path", .path(.any)), PositionalSpecification("words", isOptional: true, isRepeatable: true)])
        #expect(try MagicCall(arguments: "a b c", of: two).strings("words") == ["b", "c"])
        #expect(throws: MagicError.self) { try MagicCall(arguments: "", of: two) }
        let none = MagicSpecification(name: "status", summary: "", options: [OptionSpecification("all", .flag, "")])
        let error = try #require(#expect(throws: MagicError.self) { try MagicCall(arguments: "all", of: none) })
        #expect(error.hint == "Did you mean --all?")
    }

    @Test("ranges say what they hold", arguments: [
        (NumberRange.positive(), "a number above 0"), (.nonNegative(upTo: 1), "a number from 0 to 1"), (.finite, "a number"), (NumberRange(0, 1, lowerIsExclusive: true), "a number above 0 and of at most 1"),
        (NumberRange(-.infinity, 5, upperIsExclusive: true), "a number below 5"),
    ] as [(NumberRange, String)])
    func ranges(range: NumberRange, words: String) {
        #expect(ValueKind.number(range).expectation == words)
        #expect(!range.contains(.nan) && !range.contains(.infinity))
    }

    @Test("help is made of the same table")
    func help() {
        let text = SampleMagic().specification.helpText
        for word in ["%draw", "In detail.", "--network_dim, --rank N", "default 16", "from 1 to 1024", "AdamW8bit", "%draw resize SIZE", "%draw a cube"] { #expect(text.contains(word)) }
    }
}
