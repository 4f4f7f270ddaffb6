import Lab
import Testing

@Suite("TextTable")
struct TextTableTests {
    let table = TextTable(header: ["bucket", "pictures"], rows: [["128×128", "9"], ["192×128", "12"]], numeric: [1])

    @Test("columns are aligned, numbers at the right, no space at a line's end")
    func plain() {
        #expect(table.plain == """
            bucket   pictures
            ───────  ────────
            128×128         9
            192×128        12
            """)
    }

    @Test("HTML holds the same cells and lets no markup through")
    func html() {
        let hostile = TextTable(header: ["name"], rows: [["<img src=x onerror=\"alert('&')\">"]])
        #expect(hostile.html.contains("&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;"))
        #expect(!hostile.html.contains("<img"))
        #expect(table.html.contains("<td style=\"text-align:right\">12</td>"))
    }
}
