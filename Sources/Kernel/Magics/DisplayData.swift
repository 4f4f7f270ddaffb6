/// One thing to show, in up to one rich form beside the plain one that says the same.
public struct DisplayData: Sendable, Equatable {
    /// `text/plain`: always there, for screen readers, consoles and notebooks read without a browser.
    public var plain: String
    public var html: String?
    public var markdown: String?
    public var svg: String?
    /// A PNG file's bytes.
    public var png: [UInt8]?
    /// Size to show the PNG at, in CSS pixels: half its size in pixels for a figure drawn for high density displays.
    public var pixelSize: PixelSize?
    public var json: JSON?
    /// Further forms by MIME type, for programs: front ends pass over types they do not know.
    public var further: [String: JSON]

    /// Width and height in CSS pixels.
    public struct PixelSize: Sendable, Equatable {
        public var width: Int
        public var height: Int
        public init(width: Int, height: Int) {
            self.width = width
            self.height = height
        }
    }

    public init(
        plain: String, html: String? = nil, markdown: String? = nil, svg: String? = nil, png: [UInt8]? = nil, pixelSize: PixelSize? = nil,
        json: JSON? = nil, further: [String: JSON] = [:]
    ) {
        self.plain = plain
        self.html = html
        self.markdown = markdown
        self.svg = svg
        self.png = png
        self.pixelSize = pixelSize
        self.json = json
        self.further = further
    }
}
