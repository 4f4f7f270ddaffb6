import Lab
import Testing

@Suite("Numbers in words")
struct WordsTests {
    @Test("counts are grouped and take the plural", arguments: [
        (0, "0 pictures"), (1, "1 picture"), (2, "2 pictures"), (1000, "1,000 pictures"), (1_234_567, "1,234,567 pictures"),
    ])
    func counts(n: Int, expected: String) {
        #expect(Words.count(n, "picture") == expected)
    }

    @Test("an irregular plural is used as given")
    func irregularPlural() {
        #expect(Words.count(2, "series", "series") == "2 series")
    }

    @Test("bytes in powers of 1024", arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (150 * 1024, "150 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB"),
    ])
    func bytes(n: Int, expected: String) {
        #expect(Words.bytes(n) == expected)
    }

    @Test("durations in the two units that matter", arguments: [
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (12_000, "3 h 20 min"), (Double.infinity, "unknown"),
    ])
    func durations(seconds: Double, expected: String) {
        #expect(Words.duration(seconds) == expected)
    }

    @Test("fixed digits round half away from zero and keep the sign", arguments: [
        (0.08349, 4, "0.0835"), (-0.05, 1, "-0.1"), (-0.0001, 2, "0.00"), (12, 0, "12"), (1.005, 1, "1.0"), (Double.nan, 2, "nan"),
    ])
    func fixed(value: Double, places: Int, expected: String) {
        #expect(Words.fixed(value, places) == expected)
    }

    @Test("learning rates as people write them", arguments: [
        (1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (0.01, "0.01"), (1.0, "1.0"), (0, "0.0"), (9.99e-7, "9.99e-7"), (4e-4, "4e-4"),
    ])
    func rates(value: Double, expected: String) {
        #expect(Words.rate(value) == expected)
    }
}
