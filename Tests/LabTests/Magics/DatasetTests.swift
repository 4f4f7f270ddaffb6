import Datasets
import Foundation
import Imaging
import Kernel
import Lab
import Testing

@Suite("%model, %dataset, %caption", .serialized)
struct DatasetTests {
    @Test("a model is told by its parts, and loading it again costs nothing")
    func model() throws {
        let cells = try Cells(loadingModel: false)
        let shown = try cells.run("model \(TinyModelFolder.path)")
        for word in ["unet", "autoencoder", "captioner", "32×32 pixels", TinyModelFolder.path] { #expect(shown.text.contains(word)) }
        #expect(try cells.run("model").text == shown.text)
    }

    @Test("what is no model is told, and the one before stays", arguments: [
        ("missing-folder", "no such folder or file"), ("/etc/os-release", "safetensors header"), ("/usr", "model_index.json"), ("\(TinyModelFolder.path) --dtype int4", "float32"),
    ])
    func modelMistakes(path: String, expected: String) throws {
        let cells = try Cells()
        let error = cells.failure("model \(path)")
        #expect((error.map { $0.message + ($0.hint ?? "") } ?? "").contains(expected))
        #expect(cells.session.model?.location == TinyModelFolder.path)
    }

    @Test("parent and leaf folder are both understood, repeats and steps are told")
    func folders() throws {
        let cells = try Cells()
        let parent = try cells.makeDataset(pictures: 3, repeats: 4)
        let shown = try cells.run("dataset \(parent)")
        #expect(shown.text.contains("3 pictures · 12 with repeats") && shown.text.contains("12 steps an epoch at batch size 1"))
        #expect(shown.text.contains("style, a red cube 0") && shown.text.contains("32×32"))
        #expect(shown.pictures.count == 1)
        #expect(try cells.run("dataset \(parent)/4_tiles --repeats 2").text.contains("6 with repeats"))
        #expect(try cells.run("dataset").text.contains("6 with repeats"))
    }

    @Test("bad folders and bad pictures are told, and the dataset before stays")
    func mistakes() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset())")
        let files = FileManager.default
        func folder(_ name: String, _ content: (String) throws -> Void) throws -> String {
            let leaf = "\(cells.folder)/\(name)/1_x"
            try files.createDirectory(atPath: leaf, withIntermediateDirectories: true)
            try content(leaf)
            return "\(cells.folder)/\(name)"
        }
        let good = try PNG.encode(Pixels(width: 64, height: 64))
        let cases: [(path: String, expected: String)] = [
            ("\(cells.folder)/nowhere", "does not exist"),
            (try folder("empty") { try files.removeItem(atPath: $0) }, "empty"),
            (try folder("truncated") { try Data(good.prefix(good.count / 2)).write(to: URL(fileURLWithPath: $0 + "/a.png")) }, "cut short"),
            (try folder("text") { try Data("not a picture".utf8).write(to: URL(fileURLWithPath: $0 + "/a.png")) }, "text file"),
            (try folder("dot") { try PNG.write(Pixels(width: 1, height: 1), to: $0 + "/a.png") }, "1×1"),
            (try folder("huge") { try Data(Self.pngHeader(width: 20_000, height: 20_000)).write(to: URL(fileURLWithPath: $0 + "/a.png")) }, "20000×20000"),
        ]
        for (path, expected) in cases {
            let error = cells.failure("dataset \(path)")
            #expect((error.map { $0.message + ($0.hint ?? "") } ?? "accepted").contains(expected), "\(path)")
            #expect(cells.session.dataset?.pictures.count == 3)
        }
    }

    /// Signature and IHDR chunk of a PNG that claims a size; nothing behind it.
    private static func pngHeader(width: UInt32, height: UInt32) -> [UInt8] {
        func bytes(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }
        let chunk = Array("IHDR".utf8) + bytes(width) + bytes(height) + [8, 2, 0, 0, 0]
        var crc: UInt32 = .max
        for byte in chunk {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + bytes(13) + chunk + bytes(~crc)
    }

    @Test("the captioner writes only what is missing, and everything with --overwrite")
    func captions() throws {
        let cells = try Cells()
        let parent = try cells.makeDataset(captioned: false)
        try "by hand\n".write(toFile: "\(parent)/2_tiles/1.txt", atomically: true, encoding: .utf8)
        try cells.run("dataset \(parent)")
        func caption(_ name: String) throws -> String { try String(contentsOfFile: "\(parent)/2_tiles/\(name).txt", encoding: .utf8) }
        let shown = try cells.run("caption --prefix mystyle, --postfix the end --max_length 12")
        #expect(shown.text.contains("captioned 2 of 2") && shown.text.contains("Wrote 2 captions; 1 that were there were left alone"))
        #expect(try caption("1") == "by hand\n")
        #expect(try caption("0").hasPrefix("mystyle, ") && caption("0").hasSuffix(" the end\n"))
        #expect(try cells.run("caption").text.contains("Nothing written"))
        try cells.run("caption --overwrite --num_beams 2 --max_length 12")
        #expect(try caption("1") != "by hand\n")
        #expect(cells.session.dataset?.pictures.allSatisfy { !$0.caption.isEmpty } == true)
    }

    @Test("captions are edited, replaced, counted and shown by hand")
    func byHand() throws {
        let cells = try Cells()
        let parent = try cells.makeDataset()
        try cells.run("dataset \(parent)")
        try cells.run("caption edit 1.png a blue torus, on white")
        #expect(try String(contentsOfFile: "\(parent)/2_tiles/1.txt", encoding: .utf8) == "a blue torus, on white\n")
        let replaced = try cells.run("caption replace cube box")
        #expect(replaced.text.contains("style, a red cube 0") && replaced.text.contains("style, a red box 0"))
        #expect(try cells.run("caption replace nothing-there x").text.contains("No caption changes"))
        #expect(try cells.run("caption tags").text.contains("style"))
        let shown = try cells.run("caption show 1 2.png")
        #expect(shown.text.contains("a blue torus") && shown.text.contains("box 2") && !shown.text.contains("box 0"))
        #expect(cells.failure("caption edit 11.png x")?.hint?.contains("1.png") == true)
        #expect(cells.failure("caption replace \"\" x")?.message.contains("nothing to look for") == true)
    }

    @Test("Kohya's dataset TOML is read: inner keys hold over outer ones, and what belongs to training waits for it")
    func toml() throws {
        let cells = try Cells()
        let first = try cells.makeDataset("a", pictures: 2) + "/2_tiles", second = try cells.makeDataset("b", pictures: 3, captioned: false) + "/2_tiles"
        let text = """
            [general]
            caption_extension = ".txt"
            shuffle_caption = true
            num_repeats = 3
            [[datasets]]
            resolution = [32, 32]
            batch_size = 2
              [[datasets.subsets]]
              image_dir = "\(first)"
              [[datasets.subsets]]
              image_dir = "\(second)"
              num_repeats = 4
              class_tokens = "tiles of mine"
            """
        let shown = try cells.run("dataset", body: text)
        #expect(shown.text.contains("5 pictures · 18 with repeats") && shown.text.contains("tiles of mine"))
        #expect(shown.text.contains("train_batch_size = 2") && shown.text.contains("shuffle_caption = true"))
        #expect(cells.session.dataset?.options.resolution == PixelSize(32, 32))
        let mistakes: [(from: String, to: String, expected: String)] = [
            ("num_repeats = 4", "num_repeat = 4", "num_repeat"), ("image_dir = \"\(first)\"", "image_dir = \"\(first)x\"", "does not exist"),
            ("num_repeats = 4", "resolution = 64", "differs"), ("[general]", "[generell]", "generell"), ("num_repeats = 4", "num_repeats = 0", "whole number"),
            ("[[datasets]]", "[[datasets]", "line"), ("image_dir = \"\(second)\"", "", "image_dir"),
        ]
        for (from, to, expected) in mistakes {
            let said = cells.failure("dataset", body: text.replacingOccurrences(of: from, with: to)).map(\.message) ?? "accepted"
            #expect(said.contains(expected), "\(to)")
            #expect(cells.session.dataset?.pictures.count == 5)
        }
    }

    @Test("pictures are prepared into a numbered folder that trains as it is, and nothing is written over")
    func prepare() throws {
        let cells = try Cells()
        let source = try cells.makeDataset("photos", pictures: 2) + "/2_tiles", target = "\(cells.folder)/prepared"
        let shown = try cells.run("dataset prepare \(source) \(target) --resolution 32 --repeats 5")
        #expect(shown.text.contains("64×64 → 32×32") && shown.text.contains("%dataset \(target)") && !shown.pictures.isEmpty)
        #expect(try cells.run("dataset \(target)").text.contains("2 pictures · 10 with repeats"))
        #expect(cells.session.dataset?.subsets.map(\.name) == ["5_tiles"])
        #expect(cells.failure("dataset prepare \(source) \(target) --resolution 32 --repeats 5")?.message.contains("exists already") == true)
        #expect(cells.failure("dataset prepare \(cells.folder)/nowhere \(target)")?.message.contains("does not exist") == true)
    }

    @Test("a new model with pictures of another size has the dataset read again")
    func anotherModel() throws {
        let cells = try Cells()
        try cells.run("dataset \(try cells.makeDataset()) --resolution 64")
        #expect(cells.session.dataset?.options.resolution.width == 64)
        try cells.run("model \(TinyModelFolder.path) --dtype bfloat16")
        #expect(cells.session.dataset?.options.resolution.width == 64)
    }

    @Test("while one cell works, another that needs the session is told who is at work")
    func busy() throws {
        let cells = try Cells()
        try cells.session.exclusively("train", cell: 7) { () throws in
            #expect(cells.failure("model")?.message == "cell [7] is still at work on %train")
            #expect(try cells.run("status").text.contains("%train in cell [7]"))
            #expect(try cells.run("set lr=1e-4").text.contains("from the next step on"))
        }
        #expect(cells.failure("model") == nil)
    }
}
