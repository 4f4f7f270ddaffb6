import Imaging
import Kernel
import Plotting

extension DisplayData {
    /// A drawn card: shown at half its size in pixels, so that it is sharp on today's screens.
    ///
    /// - Parameter plain: the same in words.
    /// - Throws: `ImageError` when the card is too large to encode.
    init(card: Pixels, plain: String, effort: PNG.Effort = .small) throws {
        self.init(plain: plain, png: try PNG.encode(card, effort: effort), pixelDensity: 2)
    }

    /// A picture as it is, with its settings inside.
    init(picture: Pixels, plain: String, text: [(key: String, value: String)]) throws {
        self.init(plain: plain, png: try PNG.encode(picture, text: text))
    }

    /// A table.
    init(_ table: TextTable) { self.init(plain: table.plain, html: table.html) }
}

extension CellContext {
    /// A line of text.
    func say(_ line: String) { write(line + "\n") }
}
