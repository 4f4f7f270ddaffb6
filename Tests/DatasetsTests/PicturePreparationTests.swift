import Datasets
import Foundation
import Imaging
import Testing

@Suite("PicturePreparation") struct PicturePreparationTests {
    /// Bytes of every file below a folder.
    private func contents(_ path: String) -> [String: Data] {
        var found: [String: Data] = [:]
        for name in FileManager.default.enumerator(atPath: path)?.compactMap({ $0 as? String }) ?? [] {
            if let data = FileManager.default.contents(atPath: path + "/" + name) { found[name] = data }
        }
        return found
    }

    private func write(_ width: Int, _ height: Int, to path: String) throws { try PNG.write(Pixels(width: width, height: height, colour: (200, 40, 40)), to: path) }

    @Test("pictures become one size, numbered, with their captions, and the sources stay as they were") func crops() throws {
        let folder = try PictureFolder(), source = folder.path + "/photos"
        try folder.folder("photos")
        try write(200, 100, to: source + "/b.png")
        try write(30, 90, to: source + "/a.png")
        try "a red tile".write(toFile: source + "/b.txt", atomically: true, encoding: .utf8)
        let before = contents(source)
        let (made, outcomes) = try PicturePreparation(resolution: PixelSize(64, 64), repeats: 7, name: "my style").run(from: source, to: folder.path + "/out/")
        #expect(made == folder.path + "/out/7_my style" && contents(source) == before)
        #expect(Set(contents(made).keys) == ["001.png", "002.png", "002.txt"])
        for name in ["001.png", "002.png"] {
            let picture = try Picture.load(path: made + "/" + name)
            #expect(picture.width == 64 && picture.height == 64)
        }
        #expect(outcomes.map(\.size) == [PixelSize(30, 90), PixelSize(200, 100)] && outcomes.map(\.hasCaption) == [false, true])
        let data = try Dataset(folder.path + "/out", options: DatasetOptions(resolution: PixelSize(64, 64), buckets: BucketOptions(minimumSide: 32, maximumSide: 128, step: 32)))
        #expect(data.imageSteps == 14 && data.items.map(\.caption) == ["my style", "a red tile"])
    }

    @Test("uncropped pictures keep their proportions in multiples of the step") func proportions() throws {
        let folder = try PictureFolder()
        try folder.folder("photos")
        try write(400, 200, to: folder.path + "/photos/a.png")
        var preparation = PicturePreparation(resolution: PixelSize(128, 128), crops: false, name: "x")
        preparation.step = 32
        let outcome = try preparation.run(from: folder.path + "/photos", to: folder.path).outcomes[0]
        #expect(outcome.placement.bucket == PixelSize(160, 96))          // 160 × 96 is the wide bucket nearest to 2 : 1 below 128²
    }

    @Test("small pictures are left out when they may not grow, and nothing remains when none is left") func small() throws {
        let folder = try PictureFolder()
        try folder.folder("photos")
        try write(40, 40, to: folder.path + "/photos/a.png")
        let preparation = PicturePreparation(resolution: PixelSize(64, 64), upscales: false, name: "x")
        #expect(throws: DatasetError.allTooSmall(count: 1, resolution: PixelSize(64, 64))) { try preparation.run(from: folder.path + "/photos", to: folder.path + "/out") }
        #expect(contents(folder.path + "/out").isEmpty)
        try write(100, 80, to: folder.path + "/photos/b.png")
        let (made, outcomes) = try preparation.run(from: folder.path + "/photos", to: folder.path + "/out")
        #expect(outcomes.map { $0.target == nil } == [true, false] && Set(contents(made).keys) == ["001.png"])
    }

    @Test("what stands at the destination is never written over, and a damaged source leaves nothing behind") func refusals() throws {
        let folder = try PictureFolder()
        try folder.folder("photos")
        try write(64, 64, to: folder.path + "/photos/a.png")
        let preparation = PicturePreparation(resolution: PixelSize(64, 64), name: "x")
        _ = try preparation.run(from: folder.path + "/photos", to: folder.path + "/out")
        let before = contents(folder.path + "/out")
        #expect(throws: DatasetError.destinationExists(folder.path + "/out/10_x")) { try preparation.run(from: folder.path + "/photos", to: folder.path + "/out") }
        try folder.file("photos/broken.png", [0x89, 0x50])
        #expect(throws: ImageError.self) { try preparation.run(from: folder.path + "/photos", to: folder.path + "/other") }
        #expect(contents(folder.path + "/out") == before && contents(folder.path + "/other").isEmpty)
        #expect(throws: DatasetError.self) { try PicturePreparation(resolution: PixelSize(64, 64), name: "a/b").run(from: folder.path + "/photos", to: folder.path) }
        #expect(throws: DatasetError.self) { try PicturePreparation(resolution: PixelSize(64, 64), repeats: 0, name: "a").run(from: folder.path + "/photos", to: folder.path) }
    }
}
