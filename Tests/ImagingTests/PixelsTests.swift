import Imaging
import Testing

@Suite struct PixelsTests {
    /// Red values 0 … 5 in two rows of three.
    private static let six = Pixels(width: 3, height: 2, rgb: (0..<6).flatMap { [UInt8($0), 100, 200] }, alpha: [0, 1, 2, 3, 4, 5])
    private func reds(_ p: Pixels) -> [UInt8] { stride(from: 0, to: p.rgb.count, by: 3).map { p.rgb[$0] } }

    @Test func `floats go from minus one to one and back to the same bytes`() {
        let every = Pixels(width: 256, height: 1, rgb: (0..<256).flatMap { [UInt8($0), UInt8($0), UInt8($0)] })
        let floats = every.floats()
        #expect(floats.count == 768 && floats[0] == -1 && floats[767] == 1)
        // 128/255 = 0.50196; (0.50196 − 0.5)/0.5 = 0.00392
        #expect(abs(floats[128 * 3] - 0.003921569) < 1e-7)
        #expect(Pixels(width: 256, height: 1, floats: floats) == every)
    }

    @Test func `floats out of range are clipped`() {
        #expect(Pixels(width: 2, height: 1, floats: [-9, 9, .nan, .infinity, -.infinity, 0]).rgb == [0, 255, 0, 255, 0, 128])
    }

    @Test func `cropping takes the named part`() {
        let part = Self.six.cropped(x: 1, y: 0, width: 2, height: 2)
        #expect(reds(part) == [1, 2, 4, 5])
        #expect(part.alpha == [1, 2, 4, 5])
        #expect(reds(Self.six.croppedCentre(width: 1, height: 1)) == [1])
        #expect(Self.six.cropped(x: 0, y: 0, width: 0, height: 2).rgb.isEmpty)
    }

    @Test func `flips exchange the sides`() {
        #expect(reds(Self.six.flippedHorizontally()) == [2, 1, 0, 5, 4, 3])
        #expect(reds(Self.six.flippedVertically()) == [3, 4, 5, 0, 1, 2])
    }

    /// 0 1 2 / 3 4 5, turned as the eight values of the tag say.
    @Test(arguments: [
        (1, [0, 1, 2, 3, 4, 5]), (2, [2, 1, 0, 5, 4, 3]), (3, [5, 4, 3, 2, 1, 0]), (4, [3, 4, 5, 0, 1, 2]), (5, [0, 3, 1, 4, 2, 5]), (6, [3, 0, 4, 1, 5, 2]),
        (7, [5, 2, 4, 1, 3, 0]), (8, [2, 5, 1, 4, 0, 3]), (9, [0, 1, 2, 3, 4, 5]),
    ] as [(Int, [UInt8])]) func `each orientation is undone`(orientation: Int, expected: [UInt8]) {
        let upright = Self.six.upright(fromOrientation: orientation)
        #expect(reds(upright) == expected)
        #expect(upright.width == ((5...8).contains(orientation) ? 2 : 3))
    }

    @Test func `flattening mixes with the ground`() {
        let half = Pixels(width: 2, height: 1, rgb: [0, 0, 0, 10, 20, 30], alpha: [128, 255])
        // 255 · 127/255 = 127
        #expect(half.flattened().rgb == [127, 127, 127, 10, 20, 30])
        #expect(half.flattened(on: (0, 0, 0)).rgb == [0, 0, 0, 10, 20, 30])
    }

    @Test func `pasting leaves away what sticks out`() {
        var board = Pixels(width: 2, height: 2, colour: (9, 9, 9))
        board.paste(Pixels(width: 2, height: 2, colour: (1, 2, 3)), x: 1, y: -1)
        #expect(reds(board) == [9, 1, 9, 9])
        board.paste(Pixels(width: 2, height: 2, colour: (7, 7, 7)), x: 5, y: 0)
        board.paste(Pixels(width: 2, height: 2, colour: (7, 7, 7)), x: 0, y: 7)
        board.paste(Pixels(width: 2, height: 2, colour: (7, 7, 7)), x: 0, y: -7)
        #expect(reds(board) == [9, 1, 9, 9])
    }

    @Test func `a letterbox keeps the proportions`() {
        let box = Pixels(width: 4, height: 2, colour: (0, 0, 0)).letterboxed(width: 8, height: 8)
        #expect(box[0, 1] == (255, 255, 255) && box[0, 2] == (0, 0, 0) && box[7, 5] == (0, 0, 0) && box[7, 6] == (255, 255, 255))
    }
}
