import Imaging

/// The demonstration's style: the same shapes and colours drawn as ink-lined, flat-toned pictures on a warm sheet.
public enum PopsicleStyle {
    /// The words that call the style up in prompts.
    public static let trigger = "popsicle style"

    /// The scene drawn in the style, `size` × `size` pixels. Material, lighting and background of the scene have no part in it.
    public static func render(_ scene: Scene, size: Int) -> Pixels {
        Pixels(width: size, height: size, rgb: draw(scene.shape, camera: Camera(scene), look: CelLook(scene, palette: .popsicle), size: size))
    }

    /// "popsicle style, a red cube, 3d icon, isometric view"
    public static func caption(_ scene: Scene) -> String {
        let article = scene.colour == .orange ? "an" : "a"
        return "\(trigger), \(article) \(scene.colour.rawValue) \(scene.shape.rawValue), 3d icon, \(scene.view.phrase)"
    }

    /// `count` scenes in which shapes and colours come evenly and no pair comes twice (up to the number of pairs).
    ///
    /// The step through the colours runs on by one at each round of the shapes, so that neighbours differ in both.
    public static func scenes(count: Int, startingAt first: Int = 0, seed: UInt64) -> [Scene] {
        let shapes = Vocabulary.Shape.allCases, colours = Vocabulary.Colour.allCases, views = Vocabulary.View.allCases
        var generator = SplitMix64(seed: seed)
        return (first..<(first + count)).map { index in
            let round = index / shapes.count
            var scene = Scene(shape: shapes[index % shapes.count], colour: colours[(index * 4 + round * 2) % colours.count])
            scene.view = views[(index + round) % views.count]
            scene.yawOffset = .random(in: -7...7, using: &generator)
            scene.elevationOffset = .random(in: -4...4, using: &generator)
            scene.scale = .random(in: 0.92...1.0, using: &generator)
            return scene
        }
    }
}
