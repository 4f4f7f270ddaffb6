import Datasets
import Foundation
import Imaging
import TensorCore
import Testing

private let small = DatasetOptions(resolution: PixelSize(64, 64), buckets: BucketOptions(minimumSide: 32, maximumSide: 128, step: 32))

@Suite("Dataset") struct DatasetTests {
    @Test("a parent folder's numbered folders are its subsets, others are told of") func parent() throws {
        let folder = try PictureFolder()
        try folder.picture("10_my style/b.png", shade: 1, caption: "a cube\nsecond line\n")
        try folder.picture("10_my style/a.PNG", shade: 2)
        try folder.picture("3_other/c.png", shade: 3, caption: "a ball", extension: "caption")
        try folder.picture("notes/d.png", shade: 4)
        try folder.picture("loose.png", shade: 5)
        try folder.file("10_my style/readme.md", [65])
        let data = try Dataset(folder.path, options: small)
        #expect(data.reading == .parent && data.subsets.map(\.name) == ["10_my style", "3_other"])
        #expect(data.items.map(\.fileName) == ["a.PNG", "b.png", "c.png"] && data.imageSteps == 23)
        #expect(data.items.map(\.caption) == ["my style", "a cube\nsecond line", "a ball"])
        #expect(data.items[0].captionSource == .classTokens)
        #expect(data.findings.contains(.ignoredFolder(folder.path + "/notes")))
        #expect(data.findings.contains(.loosePictures(folder: folder.path, count: 1)))
        #expect(data.findings.contains(.otherCaptionExtension(files: [folder.path + "/3_other/c.caption"], expected: ".txt")))
        #expect(data.findings.contains(.missingCaptions(files: [folder.path + "/10_my style/a.PNG"], usedInstead: "my style")))
    }

    @Test("the leaf folder itself and a plain folder of pictures are understood as such") func leaf() throws {
        let folder = try PictureFolder()
        try folder.picture("7_style/a.png")
        try folder.picture("plain/a.png")
        let leaf = try Dataset(folder.path + "/7_style/", options: small), plain = try Dataset(folder.path + "/plain", options: small)
        #expect(leaf.reading == .leaf && leaf.imageSteps == 7 && leaf.subsets[0].classTokens == "style")
        #expect(plain.reading == .plain && plain.imageSteps == 1 && plain.items[0].captionSource == .none)
        var options = small
        options.repeats = 5
        #expect(try Dataset(folder.path + "/plain", options: options).imageSteps == 5)
    }

    @Test("folders that cannot be used are refused, each in its own words") func badFolders() throws {
        let folder = try PictureFolder()
        try folder.folder("empty")
        try folder.folder("parent/10_x")
        try folder.file("texts/a.txt", [65])
        try folder.file("foreign/a.gif", [65])
        try folder.picture("mystyle/a.png")
        func error(_ name: String) -> String {
            do { return "\(try Dataset(folder.path + "/" + name, options: small).items.count) items" } catch { return "\(error)" }
        }
        #expect(error("mystile").contains("does not exist") && error("mystile").contains("/mystyle"))
        #expect(error("empty").contains("is empty"))
        #expect(error("parent").contains("no pictures") && error("parent").contains("10_x"))
        #expect(error("texts").contains("no pictures"))
        #expect(error("foreign").contains("gif"))
        #expect(error("mystyle/a.png").contains("not a folder"))
    }

    @Test("unreadable pictures refuse the data set by file and reason, unless they are to be skipped") func unusable() throws {
        let folder = try PictureFolder()
        let good = try folder.picture("2_x/good.png")
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: good)))
        try folder.file("2_x/cut.png", Array(bytes.prefix(bytes.count / 2)))
        try folder.file("2_x/text.png", Array("hello".utf8))
        try folder.picture("2_x/dot.png", 1, 1)
        do {
            _ = try Dataset(folder.path, options: small)
            Issue.record("accepted")
        } catch DatasetError.unusablePictures(let pictures, let total) {
            #expect(pictures.count == 3 && total == 4)
            for name in ["cut.png", "text.png", "dot.png"] { #expect(pictures.contains { $0.path.hasSuffix(name) && $0.reason.contains(name) && !$0.wayOut.isEmpty }) }
        }
        var options = small
        options.skipsUnusable = true
        let data = try Dataset(folder.path, options: options)
        #expect(data.items.map(\.fileName) == ["good.png"])
        #expect(data.findings.filter { if case .skipped = $0 { true } else { false } }.count == 3)
    }

    @Test("the guide's checks name what they found") func checks() throws {
        let folder = try PictureFolder()
        try folder.picture("2_x/a.png", 64, 64, shade: 1, caption: "one")
        try folder.picture("2_x/copy.png", 64, 64, shade: 1, caption: "two")
        try folder.picture("2_x/wide.png", 150, 70, shade: 2, caption: "three")
        try folder.picture("2_x/blank.png", 64, 64, shade: 3, caption: " \n")
        let findings = try Dataset(folder.path, options: small).findings
        let at = { folder.path + "/2_x/" + $0 }
        #expect(findings.contains(.fewPictures(found: 4, recommended: 15)))
        #expect(findings.contains(.fewImageSteps(found: 8, recommended: 1500)))
        #expect(findings.contains(.duplicates(files: [at("a.png"), at("copy.png")])))
        #expect(findings.contains(.sidesOutside(files: [at("wide.png")], range: 64...96)))
        #expect(findings.contains(.sidesNotMultiples(files: [at("wide.png")], of: 32)))
        #expect(findings.contains(.emptyCaptions(files: [at("blank.png")])))
        #expect(findings.allSatisfy { !$0.description.isEmpty })
    }

    @Test("captions are needed to train, or class tokens named outright") func captionsRequired() throws {
        let folder = try PictureFolder()
        try folder.picture("2_x/a.png")
        #expect(throws: DatasetError.self) { try Dataset(folder.path, options: small).requireCaptions() }
        var options = small
        options.classTokens = "a toy"
        let data = try Dataset(folder.path, options: options)
        try data.requireCaptions()
        #expect(data.items[0].caption == "a toy")
    }

    @Test("a caption that is not UTF-8 is told with its file") func invalidCaption() throws {
        let folder = try PictureFolder()
        try folder.picture("2_x/a.png")
        try folder.file("2_x/a.txt", [0xFF, 0xFE, 0x41])
        #expect(throws: DatasetError.unreadableCaption(path: folder.path + "/2_x/a.txt", reason: "it is not UTF-8 text")) { try Dataset(folder.path, options: small) }
    }

    @Test("the pixels are the middle of the picture in its bucket") func pixels() throws {
        let folder = try PictureFolder()
        try folder.picture("1_x/a.png", 96, 64)
        let data = try Dataset(folder.path, options: DatasetOptions(resolution: PixelSize(64, 64), buckets: BucketOptions(isEnabled: false)))
        let source = try Picture.load(path: data.items[0].path)
        #expect(try data.pixels(of: data.items[0]) == source.cropped(x: 16, y: 0, width: 64, height: 64))
    }

    @Test("options outside their range are refused", arguments: [0, -1, 1_000_000_000]) func options(repeats: Int) throws {
        let folder = try PictureFolder()
        try folder.picture("1_x/a.png")
        var options = small
        options.repeats = repeats
        #expect(throws: DatasetError.self) { try Dataset(folder.path, options: options) }
        options = small
        options.resizeFilter = "sinc"
        #expect(throws: DatasetError.self) { try Dataset(folder.path, options: options) }
    }
}

@Suite("Batches") struct BatchTests {
    func data(_ folder: PictureFolder, regularisation: Int = 0) throws -> Dataset {
        for i in 0..<5 { try folder.picture("train/3_x/\(i).png", i < 3 ? 64 : 96, 64, shade: i, caption: "\(i)") }
        var options = small
        if regularisation > 0 {
            for i in 0..<regularisation { try folder.picture("reg/2_thing/\(i).png", shade: 50 + i) }
            options.regularisation = folder.path + "/reg"
        }
        return try Dataset(folder.path + "/train", options: options)
    }

    @Test("each picture comes as often as it repeats, one bucket to a batch, the number as computed", arguments: [1, 2, 4, 100])
    func content(size: Int) throws {
        let data = try data(PictureFolder())
        let batches = data.batches(size: size, seed: 1, epoch: 1)
        #expect(batches.count == data.batchesPerEpoch(size: size))
        var visits: [Int: Int] = [:]
        for batch in batches {
            #expect(batch.count <= size && Set(batch.map { data.items[$0].placement.bucket }).count == 1)
            for index in batch { visits[index, default: 0] += 1 }
        }
        #expect(visits == [0: 3, 1: 3, 2: 3, 3: 3, 4: 3] && data.visitsPerEpoch == 15)
    }

    @Test("the order follows seed and epoch") func order() throws {
        let data = try data(PictureFolder())
        #expect(data.batches(size: 2, seed: 1, epoch: 1) == data.batches(size: 2, seed: 1, epoch: 1))
        #expect(data.batches(size: 2, seed: 1, epoch: 1) != data.batches(size: 2, seed: 1, epoch: 2))
        #expect(data.batches(size: 2, seed: 1, epoch: 1) != data.batches(size: 2, seed: 7, epoch: 1))
    }

    @Test("regularisation pictures fill up to as many visits as the training pictures have", arguments: [(2, 15), (4, 15), (20, 16)])
    func regularisation(count: Int, visits: Int) throws {
        // 15 training visits: 2 pictures × 2, then one round after another; 8 pictures × 2 already exceed 15.
        let data = try data(PictureFolder(), regularisation: count)
        let seen = data.batches(size: 1, seed: 0, epoch: 1).map { $0[0] }.filter { data.items[$0].isRegularisation }
        #expect(seen.count == visits)
        let unused = data.findings.contains { if case .unusedRegularisation(let n) = $0 { n == count - 8 } else { false } }
        #expect(unused == (count > 8))
    }
}

@Suite("Latent cache") struct LatentCacheTests {
    struct Halves: LatentEncoder {
        func moments(_ pixels: Tensor) -> (mean: Tensor, logVariance: Tensor) {
            let cells = [1, pixels.shape[1] / 8, pixels.shape[2] / 8, 4]
            return (Tensor.full(pixels.array[0], cells), Tensor.zeros(cells))
        }
    }
    struct Broken: LatentEncoder {
        func moments(_ pixels: Tensor) -> (mean: Tensor, logVariance: Tensor) { (Tensor.full(.nan, [1, 1, 1, 4]), Tensor.zeros([1, 1, 1, 4])) }
    }

    @Test("a sample of the posterior, the same for the same seed; the mean without one") func samples() throws {
        let folder = try PictureFolder()
        for i in 0..<3 { try folder.picture("1_x/\(i).png", shade: i) }
        let data = try Dataset(folder.path, options: small)
        var a = LatentCache(), b = LatentCache(), mean = LatentCache(), calls = 0
        try a.fill(data, encoder: Halves(), seed: 1) { done, total in
            calls += 1
            #expect(done == calls && total == 3)
        }
        try b.fill(data, encoder: Halves(), seed: 1) { _, _ in }
        try mean.fill(data, encoder: Halves(), seed: nil) { _, _ in }
        #expect(a.count == 3 && a.byteCount == 3 * 8 * 8 * 4 * 4)
        for i in 0..<3 {
            #expect(a[i]?.array == b[i]?.array && a[i]?.array != mean[i]?.array)
            #expect(Set(mean[i]?.array ?? []).count == 1)
        }
        #expect(a[0]?.array != a[1]?.array)
    }

    @Test("an interrupt keeps what was done; NaN names the picture") func failures() throws {
        let folder = try PictureFolder()
        for i in 0..<3 { try folder.picture("1_x/\(i).png", shade: i) }
        let data = try Dataset(folder.path, options: small)
        struct Stop: Error {}
        var cache = LatentCache()
        #expect(throws: Stop.self) { try cache.fill(data, encoder: Halves(), seed: 1) { done, _ in if done == 2 { throw Stop() } } }
        #expect(cache.count == 2)
        #expect(throws: LatentError.notFinite(path: data.items[0].path)) { try LatentCache.encode(data, 0, encoder: Broken(), seed: nil) }
        try FileManager.default.removeItem(atPath: data.items[1].path)
        #expect(throws: LatentError.self) { try LatentCache.encode(data, 1, encoder: Halves(), seed: nil) }
    }
}
