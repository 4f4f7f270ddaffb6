import Foundation
import Imaging
import Scenes
import Testing

/// The scene's colour as the picture shows it: the vocabulary's colour nearest in hue to the object's saturated pixels.
private func apparentColour(_ picture: Pixels, ground: Pixels) -> Vocabulary.Colour? {
    var sum = SIMD3<Double>.zero
    var objectPixels = 0, saturated = 0
    for index in 0..<(picture.width * picture.height) {
        let colour = SIMD3((0..<3).map { Double(picture.rgb[index * 3 + $0]) / 255 })
        let behind = SIMD3((0..<3).map { Double(ground.rgb[index * 3 + $0]) / 255 })
        let difference = colour - behind
        // Shadows are no object: they keep the ground's hue and only lose light.
        guard (difference * difference).sum().squareRoot() > 0.15 else { continue }
        let chroma = colour.max() - colour.min()
        objectPixels += 1
        guard chroma > 0.25 else { continue }
        saturated += 1
        sum += (colour - colour.min()) / chroma * chroma
    }
    guard objectPixels > 0 else { return nil }
    if Double(saturated) < 0.2 * Double(objectPixels) { return .white }
    let hue = hueAngle(sum)
    return Vocabulary.Colour.allCases.filter { $0 != .white }.min { hueDistance($0, hue) < hueDistance($1, hue) }
}

private func hueAngle(_ c: SIMD3<Double>) -> Double { atan2(3.0.squareRoot() * (c.y - c.z), 2 * c.x - c.y - c.z) }

private func hueDistance(_ colour: Vocabulary.Colour, _ hue: Double) -> Double {
    let own = hueAngle(SIMD3(Double(colour.components.x), Double(colour.components.y), Double(colour.components.z)))
    let difference = abs(own - hue).truncatingRemainder(dividingBy: 2 * .pi)
    return min(difference, 2 * .pi - difference)
}

@Suite struct SceneTests {
    @Test("the same scene gives the same bytes, another seed other scenes")
    func deterministic() {
        var first = SplitMix64(seed: 5), second = SplitMix64(seed: 5), other = SplitMix64(seed: 6)
        for _ in 0..<5 {
            let scene = Scene.random(using: &first)
            #expect(Scene.random(using: &second) == scene)
            #expect(scene.render(size: 48) == scene.render(size: 48))
            #expect(scene.caption(using: &first) == scene.caption(using: &second))
        }
        #expect(Scene.random(using: &first) != Scene.random(using: &other))
    }

    @Test("a seed means the same numbers as elsewhere")
    func generator() {
        // SplitMix64 from seed 1234567, published with the algorithm.
        var generator = SplitMix64(seed: 1_234_567)
        #expect([generator.next(), generator.next(), generator.next()] == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }

    @Test("a scene survives JSON")
    func codable() throws {
        var generator = SplitMix64(seed: 8)
        let scene = Scene.random(using: &generator)
        #expect(try JSONDecoder().decode(Scene.self, from: JSONEncoder().encode(scene)) == scene)
    }

    @Test("every colour can be told on every shape, material and lighting", arguments: Vocabulary.Shape.allCases)
    func colours(_ shape: Vocabulary.Shape) {
        for colour in Vocabulary.Colour.allCases {
            for material in Vocabulary.Material.allCases {
                for lighting in Vocabulary.Lighting.allCases {
                    var scene = Scene(shape: shape, colour: colour, material: material, lighting: lighting, background: .dark)
                    let picture = scene.render(size: 32)
                    scene.scale = 0.001                         // the object shrunk to nothing: its ground alone
                    let ground = scene.render(size: 32)
                    #expect(apparentColour(picture, ground: ground) == colour, "\(colour) \(material) \(lighting)")
                }
            }
        }
    }

    @Test("no two shapes, views, lightings, materials or backgrounds look alike")
    func different() {
        let plain = Scene(shape: .lock, colour: .blue)
        func variants<T: CaseIterable>(_ path: WritableKeyPath<Scene, T>) -> [Scene] {
            T.allCases.map { value in
                var scene = plain
                scene[keyPath: path] = value
                return scene
            }
        }
        for group in [variants(\.shape), variants(\.view), variants(\.lighting), variants(\.material), variants(\.background)] {
            let pictures = group.map { $0.render(size: 64).rgb }
            for (i, a) in pictures.enumerated() {
                for b in pictures[(i + 1)...] {
                    let difference = zip(a, b).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
                    #expect(Double(difference) / Double(a.count) > 1.5, "mean difference of two of \(group.count)")
                }
            }
        }
    }

    @Test("edges are smooth: a sphere's outline has many tones between object and ground")
    func antialiased() {
        let picture = Scene(shape: .sphere, colour: .red, material: .matte, background: .white).render(size: 64)
        // The green component goes from the ground's 255 to the object's below 80.
        let row = (0..<64).map { Int(picture.rgb[(20 * 64 + $0) * 3 + 1]) }
        #expect(row.contains { (90...235).contains($0) })
    }
}

@Suite struct CaptionTests {
    @Test("captions name the scene's shape and colour, and nothing that is not there")
    func roundTrip() {
        var generator = SplitMix64(seed: 4)
        var named = (material: 0, lighting: 0, view: 0, background: 0)
        for _ in 0..<2_000 {
            let scene = Scene.random(using: &generator)
            let caption = scene.caption(using: &generator)
            #expect(Vocabulary.mentionedShape(in: caption) == scene.shape, "\(caption)")
            #expect(Vocabulary.mentionedColour(in: caption) == scene.colour, "\(caption)")
            let (material, lighting) = (Vocabulary.mentionedMaterial(in: caption), Vocabulary.mentionedLighting(in: caption))
            let (view, background) = (Vocabulary.mentionedView(in: caption), Vocabulary.mentionedBackground(in: caption))
            #expect(material == nil || material == scene.material, "\(caption)")
            #expect(lighting == nil || lighting == scene.lighting, "\(caption)")
            #expect(view == nil || view == scene.view, "\(caption)")
            #expect(background == nil || background == scene.background, "\(caption)")
            named = (named.material + (material == nil ? 0 : 1), named.lighting + (lighting == nil ? 0 : 1),
                     named.view + (view == nil ? 0 : 1), named.background + (background == nil ? 0 : 1))
        }
        for count in [named.material, named.lighting, named.view, named.background] { #expect((1_400..<1_900).contains(count)) }
    }

    @Test("the brand's orange is no cloud, a background's white no object's", arguments: [
        ("an alibaba cloud orange cube, white background", Vocabulary.Shape.cube, Vocabulary.Colour.orange),
        ("alibaba cloud orange cloud", .cloud, .orange),
        ("a white cloud, light grey background", .cloud, .white),
        ("white background, A RED Gear", .gear, .red),
        ("popsicle style, a teal lock, 3d icon, front view", .lock, .teal),
    ])
    func mentions(_ caption: String, _ shape: Vocabulary.Shape, _ colour: Vocabulary.Colour) {
        #expect(Vocabulary.mentionedShape(in: caption) == shape)
        #expect(Vocabulary.mentionedColour(in: caption) == colour)
    }

    @Test("captions without an attribute mention none", arguments: ["", "a picture of something", "orangery, cubes, white background", "alibaba cloud"])
    func noMention(_ caption: String) {
        #expect(Vocabulary.mentionedShape(in: caption) == nil)
        #expect(Vocabulary.mentionedColour(in: caption) == nil)
    }
}
