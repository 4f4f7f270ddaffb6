import Imaging

/// Icons drawn flat on sheets of any colours, with and without ink lines: what a captioner should read as easily as a studio's picture.
public enum DrawnPictures {
    /// The scene in a style drawn at random. Material, lighting and background of the scene have no part in it.
    ///
    /// - Parameter size: pixels a side.
    public static func render(_ scene: Scene, size: Int, using generator: inout some RandomNumberGenerator) -> Pixels {
        let look = CelLook(scene, palette: .random(using: &generator))
        return Pixels(width: size, height: size, rgb: draw(scene.shape, camera: Camera(scene), look: look, size: size))
    }
}
