extension Scene {
    /// A caption in the guide's vocabulary: shape and colour always, each other attribute most of the time, the order varied.
    ///
    /// "a glossy red cube, 3d icon, isometric view, studio lighting, white background"
    public func caption(using generator: inout some RandomNumberGenerator) -> String {
        let namesMaterial = generator.chance(0.85)
        let materialIsTag = namesMaterial && generator.chance(0.35)
        let colourPhrase = colour.phrases.randomElement(using: &generator) ?? colour.rawValue
        let adjectives = (namesMaterial && !materialIsTag ? [material.rawValue] : []) + [colourPhrase]
        let noun = adjectives.joined(separator: " ") + " " + shape.rawValue

        var tags: [String] = []
        if materialIsTag { tags.append("\(material.rawValue) texture") }
        if generator.chance(0.8) { tags.append(view.phrase) }
        if generator.chance(0.8) { tags.append(lighting.phrase) }
        if generator.chance(0.85) { tags.append(background.phrase) }
        if generator.chance(0.3) { tags.shuffle(using: &generator) }

        return ([Self.subject(noun, using: &generator)] + tags).joined(separator: ", ")
    }

    /// The sentence's head, one of the usual wordings around the noun.
    private static func subject(_ noun: String, using generator: inout some RandomNumberGenerator) -> String {
        let article = "aeiou".contains(noun.first ?? "x") ? "an" : "a"
        return switch Int.random(in: 0..<10, using: &generator) {
        case 0..<4: "\(article) \(noun), 3d icon"
        case 4..<6: "\(article) \(noun)"
        case 6: "3d icon of \(article) \(noun)"
        case 7: "a 3d render of \(article) \(noun)"
        case 8: "\(noun), 3d icon"
        default: noun
        }
    }
}
