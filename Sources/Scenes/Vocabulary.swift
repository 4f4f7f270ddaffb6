/// The attributes of a picture and the words that name them in captions.
public enum Vocabulary {
    public enum Shape: String, CaseIterable, Codable, Sendable {
        case sphere, cube, cylinder, cone, torus, pyramid, server, database, cloud, shield, lock, gear
    }

    public enum Colour: String, CaseIterable, Codable, Sendable {
        case red, orange, yellow, green, teal, blue, purple, pink, white

        /// sRGB components in 0...1, the surface's own colour before any light falls on it.
        public var components: SIMD3<Float> {
            switch self {
            case .red: [0.87, 0.07, 0.09]
            case .orange: [1.00, 0.42, 0.00]       // #FF6A00, the brand's orange
            case .yellow: [1.00, 0.82, 0.06]
            case .green: [0.12, 0.66, 0.16]
            case .teal: [0.00, 0.70, 0.68]
            case .blue: [0.08, 0.27, 0.93]
            case .purple: [0.44, 0.13, 0.80]
            case .pink: [0.98, 0.36, 0.66]
            case .white: [0.94, 0.94, 0.94]
            }
        }

        /// Every way in which a caption may say it, the plainest first.
        public var phrases: [String] { self == .orange ? ["orange", "alibaba cloud orange"] : [rawValue] }
    }

    public enum Material: String, CaseIterable, Codable, Sendable { case glossy, matte, metallic, glass }

    public enum Lighting: String, CaseIterable, Codable, Sendable {
        case studio, soft, dramatic

        public var phrase: String {
            switch self {
            case .studio: "studio lighting"
            case .soft: "soft light"
            case .dramatic: "dramatic lighting"
            }
        }
    }

    public enum View: String, CaseIterable, Codable, Sendable {
        case isometric, front, threeQuarter

        public var phrase: String {
            switch self {
            case .isometric: "isometric view"
            case .front: "front view"
            case .threeQuarter: "three-quarter view"
            }
        }
    }

    public enum Background: String, CaseIterable, Codable, Sendable {
        case white, grey, dark, gradient

        public var phrase: String {
            switch self {
            case .white: "white background"
            case .grey: "light grey background"
            case .dark: "dark background"
            case .gradient: "gradient background"
            }
        }
    }
}

// MARK: - Reading captions

extension Vocabulary {
    /// The shape that a caption names first; nil when it names none.
    public static func mentionedShape(in caption: String) -> Shape? {
        // The brand's name has the word "cloud" in it, which is no shape there.
        firstMentioned(in: words(caption).removing(["alibaba", "cloud"])) { [[$0.rawValue]] }
    }

    /// The colour of the object that a caption names first, backgrounds left aside; nil when it names none.
    public static func mentionedColour(in caption: String) -> Colour? {
        let phrases = Background.allCases.map { words($0.phrase) }
        let objectWords = phrases.reduce(words(caption)) { $0.removing($1) }
        return firstMentioned(in: objectWords) { $0.phrases.map(words) }
    }

    public static func mentionedMaterial(in caption: String) -> Material? {
        firstMentioned(in: words(caption)) { [[$0.rawValue]] }
    }

    public static func mentionedLighting(in caption: String) -> Lighting? {
        firstMentioned(in: words(caption)) { [words($0.phrase)] }
    }

    public static func mentionedView(in caption: String) -> View? {
        firstMentioned(in: words(caption)) { [words($0.phrase)] }
    }

    public static func mentionedBackground(in caption: String) -> Background? {
        firstMentioned(in: words(caption)) { [words($0.phrase)] }
    }

    /// Lower-cased runs of letters and digits; punctuation separates.
    private static func words(_ text: String) -> [Substring] {
        text.lowercased().split { !($0.isLetter || $0.isNumber) }
    }

    private static func firstMentioned<T: CaseIterable>(in words: [Substring], _ phrases: (T) -> [[Substring]]) -> T? {
        let found = T.allCases.compactMap { value -> (position: Int, value: T)? in
            phrases(value).compactMap { words.position(of: $0) }.min().map { ($0, value) }
        }
        return found.min { $0.position < $1.position }?.value
    }

    private static func firstMentioned<T: CaseIterable>(in words: [Substring], _ phrases: (T) -> [[String]]) -> T? {
        firstMentioned(in: words) { phrases($0).map { $0.map { Substring($0) } } }
    }
}

extension Array where Element == Substring {
    /// Where the phrase begins.
    fileprivate func position(of phrase: [Substring]) -> Int? {
        guard count >= phrase.count else { return nil }
        return (0...(count - phrase.count)).first { self[$0..<($0 + phrase.count)].elementsEqual(phrase) }
    }

    /// The words without every occurrence of the phrase.
    fileprivate func removing(_ phrase: [Substring]) -> [Substring] {
        var rest = self
        while let start = rest.position(of: phrase) { rest.removeSubrange(start..<(start + phrase.count)) }
        return rest
    }
}
