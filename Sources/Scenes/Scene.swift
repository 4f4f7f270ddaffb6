import Imaging

/// One icon: what stands there and how it is looked at. Rendering it twice gives the same bytes.
public struct Scene: Codable, Hashable, Sendable {
    public var shape: Vocabulary.Shape
    public var colour: Vocabulary.Colour
    public var material: Vocabulary.Material
    public var lighting: Vocabulary.Lighting
    public var view: Vocabulary.View
    public var background: Vocabulary.Background

    /// Deviations from the view's own angles, in degrees.
    public var yawOffset: Float = 0
    public var elevationOffset: Float = 0
    /// Size of the object in the frame, 1 being the usual.
    public var scale: Float = 1

    public init(
        shape: Vocabulary.Shape, colour: Vocabulary.Colour, material: Vocabulary.Material = .glossy,
        lighting: Vocabulary.Lighting = .studio, view: Vocabulary.View = .isometric, background: Vocabulary.Background = .white
    ) {
        (self.shape, self.colour, self.material) = (shape, colour, material)
        (self.lighting, self.view, self.background) = (lighting, view, background)
    }

    /// Every attribute drawn evenly and independently, the angles and the size with a little jitter.
    public static func random(using generator: inout some RandomNumberGenerator) -> Scene {
        func pick<T: CaseIterable>(_: T.Type, _ generator: inout some RandomNumberGenerator) -> T {
            let cases = Array(T.allCases)
            return cases[Int.random(in: 0..<cases.count, using: &generator)]
        }
        var scene = Scene(
            shape: pick(Vocabulary.Shape.self, &generator), colour: pick(Vocabulary.Colour.self, &generator),
            material: pick(Vocabulary.Material.self, &generator), lighting: pick(Vocabulary.Lighting.self, &generator),
            view: pick(Vocabulary.View.self, &generator), background: pick(Vocabulary.Background.self, &generator))
        scene.yawOffset = .random(in: -7...7, using: &generator)
        scene.elevationOffset = .random(in: -4...4, using: &generator)
        scene.scale = .random(in: 0.92...1.06, using: &generator)
        return scene
    }

    /// The picture, `size` × `size` pixels. The same scene gives the same bytes.
    public func render(size: Int) -> Pixels {
        Pixels(width: size, height: size, rgb: renderBytes(size: size))
    }

    /// The picture's RGB bytes, row by row from the top.
    public func renderBytes(size: Int) -> [UInt8] {
        draw(shape, camera: Camera(self), look: StudioLook(self), size: size)
    }
}
