/// An sRGB colour, components 0 … 1.
public struct Colour: Sendable, Equatable {
    public var red, green, blue, opacity: Double

    public init(_ red: Double, _ green: Double, _ blue: Double, opacity: Double = 1) {
        (self.red, self.green, self.blue, self.opacity) = (red, green, blue, opacity)
    }

    /// From 0xRRGGBB.
    public init(hex: UInt32, opacity: Double = 1) {
        self.init(Double(hex >> 16 & 255) / 255, Double(hex >> 8 & 255) / 255, Double(hex & 255) / 255, opacity: opacity)
    }

    /// `amount` 0: this colour, 1: `other`. Opaque tints keep crossing lines even, where transparency would darken the crossings.
    public func mixed(with other: Colour, _ amount: Double) -> Colour {
        func mix(_ a: Double, _ b: Double) -> Double { a + (b - a) * amount }
        return Colour(mix(red, other.red), mix(green, other.green), mix(blue, other.blue), opacity: mix(opacity, other.opacity))
    }
}

extension Colour {
    /// Eight colours that stay apart for every common kind of colour blindness: Okabe and Ito, "Color Universal Design", 2008;
    /// their yellow, too pale for lines on white, is replaced by a grey.
    public static let series: [Colour] = [blue, vermilion, green, purple, orange, sky, grey, black]
    public static let blue = Colour(hex: 0x0072B2), vermilion = Colour(hex: 0xD55E00), green = Colour(hex: 0x009E73)
    public static let purple = Colour(hex: 0xCC79A7), orange = Colour(hex: 0xE69F00), sky = Colour(hex: 0x56B4E9)
    public static let grey = Colour(hex: 0x7A7F87), black = Colour(hex: 0x2B2F36)

    // The card that everything is drawn on: light in dark notebooks too, so that colours mean the same everywhere.
    static let card = Colour(hex: 0xFDFDFC), border = Colour(hex: 0xE2E2DE)
    static let ink = Colour(hex: 0x1F2328), muted = Colour(hex: 0x656C76), faint = Colour(hex: 0x9AA0A8)
    static let grid = Colour(hex: 0xEBECEE), axis = Colour(hex: 0xC3C7CD), placeholder = Colour(hex: 0xF1F1EE)
    static let warning = Colour(hex: 0xB45309), warningGround = Colour(hex: 0xFEF3C7)
}
