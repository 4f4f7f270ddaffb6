import Imaging
import Plotting
import Testing

@Suite struct SheetsTests {
    private static let red = Pixels(width: 64, height: 64, colour: (200, 0, 0)), wide = Pixels(width: 90, height: 30, colour: (0, 0, 200))

    private func count(_ picture: Pixels, _ colour: (red: UInt8, green: UInt8, blue: UInt8)) -> Int {
        var count = 0
        for y in 0..<picture.height { for x in 0..<picture.width where picture[x, y] == colour { count += 1 } }
        return count
    }

    @Test func `a contact sheet shows every picture in its proportions`() {
        let sheet = ContactSheet([.init(Self.red, name: "a.png", caption: "red"), .init(Self.wide, name: "b.png")], pictureSize: 90).draw(scale: 1)
        // 90 × 90 and 90 × 30, without the soft corners and the fine frame.
        #expect((7600...8100).contains(count(sheet, (200, 0, 0))))
        #expect((2350...2700).contains(count(sheet, (0, 0, 200))))
    }

    @Test func `pictures beyond the limit are counted, not drawn`() {
        let items = Array(repeating: ContactSheet.Item(Self.red), count: 9)
        let few = count(ContactSheet(items, pictureSize: 50, maximumItems: 2).draw(scale: 1), (200, 0, 0))
        let all = count(ContactSheet(items, pictureSize: 50).draw(scale: 1), (200, 0, 0))
        #expect(abs(Double(all) / Double(few) - 4.5) < 0.01)
    }

    @Test func `a warning is to be seen`() {
        let plain = ContactSheet([.init(Self.red)]).draw(scale: 1), marked = ContactSheet([.init(Self.red, warning: "no caption")]).draw(scale: 1)
        #expect(count(plain, (0xFE, 0xF3, 0xC7)) == 0)
        #expect(count(marked, (0xFE, 0xF3, 0xC7)) > 500)
    }

    @Test func `long captions do not widen the sheet`() {
        let short = ContactSheet([.init(Self.red, name: "a", caption: "b"), .init(Self.red)]).draw(scale: 1)
        let long = ContactSheet([.init(Self.red, name: String(repeating: "n", count: 300), caption: String(repeating: "说明 word ", count: 200)), .init(Self.red)]).draw(scale: 1)
        #expect(short.width == long.width)
        #expect(long.height < short.height + 60)
    }

    @Test func `empty sheets and grids are drawn`() {
        #expect(ContactSheet([], title: "nothing").draw().width > 0)
        #expect(LabelledGrid(columns: [], rows: []).draw().width > 0)
        #expect(BeforeAfterSheet([]).draw().width > 0)
        #expect(BarChart([]).draw().width > 0)
        #expect(ContactSheet([.init(Pixels(width: 0, height: 0, rgb: []))]).draw().width > 0)
        #expect(ContactSheet([.init(Pixels(width: 1, height: 5000))]).draw().width > 0)
    }

    @Test func `a grid has a place for every row and column`() {
        let rows = (0..<3).map { LabelledGrid.Row("strength \($0)", [Self.red, $0 == 1 ? nil : Self.red]) }
        let grid = LabelledGrid(columns: ["epoch 1", "epoch 2"], rows: rows, title: "标题", pictureSize: 64, highlightedColumn: 1).draw(scale: 1)
        // Five of six places are filled, 64 × 64 points each.
        #expect((5 * 64 * 56...5 * 64 * 64).contains(count(grid, (200, 0, 0))))
    }

    @Test func `rows may have too few or too many pictures`() {
        let rows: [LabelledGrid.Row] = [.init("few", []), .init("many", [Self.red, Self.wide, Self.red])]
        #expect(LabelledGrid(columns: ["one"], sections: [.init("prompt", rows: rows)], highlightedColumn: 7).draw().height > 0)
    }

    @Test func `bars are as long as their values`() {
        let chart = BarChart([.init("a", 2), .init("b", 1), .init("c", .nan), .init("d", -1)]).draw(scale: 1)
        var lengths: [Int] = []
        for y in 0..<chart.height {
            let length = (0..<chart.width).count { chart[$0, y] == (0x00, 0x72, 0xB2) }
            if length > 0, lengths.last.map({ abs($0 - length) > 8 }) ?? true { lengths.append(length) }
        }
        #expect(lengths.count == 2)
        #expect(abs(Double(lengths[0]) / Double(lengths[1]) - 2) < 0.03)
    }

    @Test func `before and after stand side by side`() {
        let sheet = BeforeAfterSheet([.init(before: Self.wide, after: Self.red, name: "a.jpg", note: "cropped")], title: "Prepared", pictureSize: 90).draw(scale: 1)
        #expect(count(sheet, (200, 0, 0)) > 7500 && count(sheet, (0, 0, 200)) > 2300)
    }
}
