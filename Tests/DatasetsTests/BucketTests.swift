import Datasets
import Foundation
import Testing

@Suite("Buckets") struct BucketTests {
    struct Case: Decodable {
        let resolution: [Int], minimum: Int, maximum: Int, step: Int
        let buckets: [[Int]], sizes: [[Int]], upscaled: [[[Int]]], kept: [[[Int]]]
    }

    static func cases() throws -> [Case] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/datasets/buckets.json")
        return try JSONDecoder().decode([Case].self, from: Data(contentsOf: file))
    }

    static func rule(_ item: Case, neverUpscales: Bool) throws -> BucketRule {
        try BucketRule(
            resolution: PixelSize(item.resolution[0], item.resolution[1]),
            options: BucketOptions(minimumSide: item.minimum, maximumSide: item.maximum, step: item.step, neverUpscales: neverUpscales))
    }

    @Test("predefined buckets and the choice among them are sd-scripts'") func upscaling() throws {
        for item in try Self.cases() {
            let rule = try Self.rule(item, neverUpscales: false)
            #expect(rule.predefined.map { [$0.width, $0.height] } == item.buckets)
            for (size, expected) in zip(item.sizes, item.upscaled) {
                let place = rule.place(PixelSize(size[0], size[1]))
                #expect([[place.bucket.width, place.bucket.height], [place.resized.width, place.resized.height]] == expected, "\(size)")
            }
        }
    }

    @Test("without enlarging, buckets follow the pictures as sd-scripts lets them") func neverUpscaling() throws {
        for item in try Self.cases() {
            let rule = try Self.rule(item, neverUpscales: true)
            for (size, expected) in zip(item.sizes, item.kept) where expected[0].allSatisfy({ $0 >= item.step }) {
                let place = rule.place(PixelSize(size[0], size[1]))
                #expect([[place.bucket.width, place.bucket.height], [place.resized.width, place.resized.height]] == expected, "\(size)")
            }
        }
    }

    @Test("the 512 and 1024 classes have the published numbers of buckets") func counts() throws {
        let small = try BucketRule(resolution: PixelSize(512, 512), options: BucketOptions(minimumSide: 256, maximumSide: 1024, neverUpscales: false))
        let large = try BucketRule(resolution: PixelSize(1024, 1024), options: BucketOptions(minimumSide: 256, maximumSide: 2048, neverUpscales: false))
        #expect(small.predefined.count == 17 && large.predefined.count == 41)
    }

    @Test("any picture fits: the bucket lies inside of what it is resized to") func everySize() throws {
        for options in [BucketOptions(), BucketOptions(neverUpscales: false), BucketOptions(isEnabled: false)] {
            let rule = try BucketRule(resolution: PixelSize(512, 512), options: options)
            for width in [16, 17, 63, 64, 100, 512, 513, 3000] {
                for height in [16, 65, 300, 512, 2999, 20_000] {
                    let place = rule.place(PixelSize(width, height))
                    #expect(place.resized.width >= place.bucket.width && place.resized.height >= place.bucket.height, "\(width)×\(height): \(place)")
                    #expect(place.bucket.width % 64 == 0 && place.bucket.height % 64 == 0 && place.bucket.width > 0)
                }
            }
        }
    }

    @Test("with buckets off there is one, of the resolution") func disabled() throws {
        let rule = try BucketRule(resolution: PixelSize(128, 96), options: BucketOptions(isEnabled: false))
        let place = rule.place(PixelSize(400, 200))
        #expect(place.bucket == PixelSize(128, 96) && place.resized == PixelSize(192, 96))
    }

    @Test("contradicting sides are refused", arguments: [
        (PixelSize(0, 512), BucketOptions()), (PixelSize(512, 512), BucketOptions(step: 0)), (PixelSize(512, 512), BucketOptions(minimumSide: 640, neverUpscales: false)),
        (PixelSize(512, 512), BucketOptions(maximumSide: 256, neverUpscales: false)), (PixelSize(100_000, 512), BucketOptions()),
    ]) func invalid(resolution: PixelSize, options: BucketOptions) {
        #expect(throws: DatasetError.self) { try BucketRule(resolution: resolution, options: options) }
    }
}
