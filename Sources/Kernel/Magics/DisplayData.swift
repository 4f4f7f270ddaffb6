/// One thing to show, in up to one rich form beside the plain one that says the same.
public struct DisplayData: Sendable, Equatable {
    /// `text/plain`: always there, for screen readers, consoles and notebooks read without a browser.
    public var plain: String
    public var html: String?
    public var markdown: String?
    public var svg: String?
    /// A PNG file's bytes.
    public var png: [UInt8]?
    /// The PNG's pixels for each CSS pixel it is shown at: 2 for a figure drawn for high density displays; nil leaves its size to the front end.
    public var pixelDensity: Int?
    public var json: JSON?
    /// Further forms by MIME type, for programs: front ends pass over types they do not know.
    public var further: [String: JSON]

    public init(
        plain: String, html: String? = nil, markdown: String? = nil, svg: String? = nil, png: [UInt8]? = nil, pixelDensity: Int? = nil,
        json: JSON? = nil, further: [String: JSON] = [:]
    ) {
        self.plain = plain
        self.html = html
        self.markdown = markdown
        self.svg = svg
        self.png = png
        self.pixelDensity = pixelDensity
        self.json = json
        self.further = further
    }
}
