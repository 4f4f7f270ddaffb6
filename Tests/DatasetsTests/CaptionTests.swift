import Datasets
import Foundation
import TensorCore
import Testing

@Suite("Captions in use") struct CaptionOptionsTests {
    func apply(_ options: CaptionOptions, _ caption: String, epoch: Int = 1, seed: UInt64 = 1) -> String {
        var generator = TorchGenerator(seed: seed)
        return options.apply(caption, epoch: epoch, generator: &generator)
    }

    @Test("the first line, with prefix and suffix") func fixed() {
        #expect(apply(CaptionOptions(prefix: "sks,", suffix: "icon"), "a cube, red\nmore") == "sks, a cube, red icon")
        #expect(apply(CaptionOptions(), "\n") == "")
        var generator = TorchGenerator(seed: 1)
        _ = CaptionOptions().apply("a, b", epoch: 1, generator: &generator)
        #expect(generator == TorchGenerator(seed: 1))
    }

    @Test("shuffling keeps the first tags and all the others") func shuffling() {
        let options = CaptionOptions(shuffles: true, keepTokens: 2)
        let results = (0..<20).map { apply(options, "k1, k2, a, b, c, d", seed: UInt64($0)) }
        #expect(results.allSatisfy { $0.hasPrefix("k1, k2, ") && Set($0.split(separator: ", ")).count == 6 })
        #expect(Set(results).count > 5)
    }

    @Test("dropout follows its probabilities and its epochs") func dropout() {
        let whole = (0..<400).filter { apply(CaptionOptions(dropoutRate: 0.25), "a", seed: UInt64($0)).isEmpty }.count
        #expect((60...140).contains(whole))
        let tags = (0..<100).map { apply(CaptionOptions(tagDropoutRate: 0.5, keepTokens: 1), "k, a, b, c, d", seed: UInt64($0)).split(separator: ", ").count }
        #expect(tags.allSatisfy { $0 >= 1 } && (220...380).contains(tags.reduce(0, +)))
        let everyThird = CaptionOptions(dropoutEveryEpochs: 3)
        #expect((1...6).map { apply(everyThird, "a", epoch: $0) } == ["a", "a", "", "a", "a", ""])
    }

    @Test("rates and counts out of range are refused", arguments: [
        CaptionOptions(dropoutRate: 1.5), CaptionOptions(tagDropoutRate: -0.1), CaptionOptions(keepTokens: -1), CaptionOptions(separator: ""), CaptionOptions(dropoutRate: .nan),
    ]) func invalid(options: CaptionOptions) {
        #expect(throws: DatasetError.self) { try options.validate() }
    }
}

@Suite("Editing captions") struct CaptionEditingTests {
    @Test("each edit does its one thing", arguments: [
        (CaptionEdit.prefix("sks"), "sks a cube, red"), (.postfix(" icon "), "a cube, red icon"), (.replace("red", with: "blue"), "a cube, blue"),
        (.removeTag("RED"), "a cube"), (.addTag("shiny"), "a cube, red, shiny"), (.addTag("red"), "a cube, red"), (.set(" new "), "new"), (.replace("", with: "x"), "a cube, red"),
    ]) func edits(edit: CaptionEdit, expected: String) {
        #expect(edit.apply(to: "a cube, red") == expected)
    }

    @Test("nothing is written over a caption without leave") func overwriting() throws {
        let folder = try PictureFolder()
        try folder.picture("1_x/a.png", shade: 1, caption: "old")
        try folder.picture("1_x/b.png", shade: 2)
        let data = try Dataset(folder.path, options: DatasetOptions(resolution: PixelSize(64, 64)))
        let changes = data.changes([.prefix("sks")])
        #expect(changes.map(\.after) == ["sks old", "sks"] && changes.map(\.before) == ["old", nil])
        #expect(throws: DatasetError.captionsExist([folder.path + "/1_x/a.txt"])) { try data.writing(changes, overwrite: false) }
        #expect(try folder.text("1_x/a.txt") == "old" && !FileManager.default.fileExists(atPath: folder.path + "/1_x/b.txt"))
        let edited = try data.writing(changes, overwrite: true)
        #expect(try folder.text("1_x/a.txt") == "sks old\n" && folder.text("1_x/b.txt") == "sks\n")
        #expect(edited.items.map(\.caption) == ["sks old", "sks"])
        let again = try Dataset(folder.path, options: data.options)
        #expect(again.items == edited.items && again.findings == edited.findings)
    }

    @Test("a captioner's texts go to pictures without a caption") func captioned() throws {
        let folder = try PictureFolder()
        let a = try folder.picture("1_x/a.png", shade: 1)
        let data = try Dataset(folder.path, options: DatasetOptions(resolution: PixelSize(64, 64), captionExtension: "caption"))
        let edited = try data.writing(data.changes(captions: [a: "a blue ball"]), overwrite: false)
        #expect(try folder.text("1_x/a.caption") == "a blue ball\n" && edited.items[0].caption == "a blue ball")
        #expect(throws: DatasetError.self) { try edited.writing(edited.changes(captions: [a: "another"]), overwrite: false) }
    }

    @Test("tags are counted once a picture, in lower case") func tags() throws {
        let folder = try PictureFolder()
        try folder.picture("1_x/a.png", shade: 1, caption: "Cube, red, red")
        try folder.picture("1_x/b.png", shade: 2, caption: "cube, blue")
        let data = try Dataset(folder.path, options: DatasetOptions(resolution: PixelSize(64, 64)))
        #expect(data.tagCounts().map { "\($0.tag) \($0.count)" } == ["cube 2", "blue 1", "red 1"])
        #expect(data.tagFrequency()["1_x"]?.count == 3)
    }

    @Test("a caption that cannot be written is told with its path") func unwritable() throws {
        let folder = try PictureFolder()
        try folder.picture("1_x/a.png", shade: 1)
        let data = try Dataset(folder.path, options: DatasetOptions(resolution: PixelSize(64, 64)))
        try folder.folder("1_x/a.txt")
        #expect(throws: DatasetError.self) { try data.writing(data.changes([.set("x")]), overwrite: true) }
    }
}
