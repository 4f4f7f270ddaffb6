import Imaging
import Testing

@Suite struct ResizeTests {
    @Test(arguments: ResizeFilter.allCases) func `each filter agrees with PIL or OpenCV to one step`(filter: ResizeFilter) throws {
        let source = try Reference.pixels("rgb.png")
        let names = try Reference.names("\(filter.rawValue) ").filter { !$0.contains("alpha") }
        #expect(names.count == 7)
        for name in names {
            let expected = try Reference.pixels(name)
            let found = source.resized(width: expected.width, height: expected.height, filter: filter)
            #expect(difference(found, expected) <= (filter == .nearest ? 0 : 1), "\(name)")
        }
    }

    @Test func `whole-number ratios agree with OpenCV's fast way`() throws {
        let source = try Reference.pixels("rgb.png").cropped(x: 0, y: 0, width: 36, height: 28)
        for name in try Reference.names("even") {
            let expected = try Reference.pixels(name)
            #expect(difference(source.resized(width: expected.width, height: expected.height, filter: .area), expected) <= 1, "\(name)")
        }
    }

    @Test(arguments: [ResizeFilter.bilinear, .lanczos]) func `hidden colours do not bleed out`(filter: ResizeFilter) throws {
        let expected = try Reference.pixels("\(filter.rawValue) alpha 20x50")
        let found = try Reference.pixels("rgba.png").resized(width: 20, height: 50, filter: filter)
        #expect(difference(found, expected) <= 1)
    }

    @Test func `the same size is the same picture`() throws {
        let source = try Reference.pixels("rgb.png")
        for filter in ResizeFilter.allCases { #expect(source.resized(width: 37, height: 29, filter: filter) == source) }
    }

    @Test(arguments: ResizeFilter.allCases) func `an even colour stays even`(filter: ResizeFilter) {
        for (width, height) in [(1, 1), (3, 50), (200, 7)] {
            #expect(Pixels(width: 31, height: 17, colour: (3, 128, 254)).resized(width: width, height: height, filter: filter) == Pixels(width: width, height: height, colour: (3, 128, 254)))
        }
    }

    @Test func `covering reaches both sides`() {
        let covered = Pixels(width: 100, height: 50).resizedToCover(width: 64, height: 64)
        #expect(covered.width == 128 && covered.height == 64)
        let tall = Pixels(width: 30, height: 90).resizedToCover(width: 64, height: 64)
        #expect(tall.width == 64 && tall.height == 192)
    }
}
