import Foundation
import Imaging

/// The demonstration's pictures: a training folder in Kohya's layout and a held-out folder beside it.
public enum DemoDataset {
    public static let trainingCount = 24, heldOutCount = 12
    /// Prompts on which the style is measured after training.
    public static let promptCount = 30
    /// Name of the folder with the training pictures: fifteen repeats.
    public static let repeatsFolder = "15_popsicle"
    private static let seed: UInt64 = 2024

    /// Writes `15_popsicle/01.png …` into `folder`, without captions, and `01.png …` with a caption `.txt` beside each into `heldOut`.
    ///
    /// Every shape comes twice in training, in other colours, and once held out in a third; files of the same name are replaced.
    /// Beside `heldOut`, `…-prompts.txt` holds one prompt a line, none of a pair that is trained on.
    /// - Parameter size: pixels a side.
    /// - Throws: `ImageError` or Foundation's error where a file cannot be written.
    public static func write(to folder: String, heldOut: String, size: Int = 256) throws {
        func stem(_ index: Int) -> String { index < 9 ? "0\(index + 1)" : "\(index + 1)" }

        let training = folder + "/" + repeatsFolder
        for path in [training, heldOut] { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        for (index, scene) in trainingScenes.enumerated() {
            try PNG.write(PopsicleStyle.render(scene, size: size), to: "\(training)/\(stem(index)).png")
        }
        for (index, scene) in heldOutScenes.enumerated() {
            try PNG.write(PopsicleStyle.render(scene, size: size), to: "\(heldOut)/\(stem(index)).png")
            let caption = PopsicleStyle.caption(scene) + "\n"
            try caption.write(toFile: "\(heldOut)/\(stem(index)).txt", atomically: true, encoding: .utf8)
        }
        let prompts = heldOutPrompts.joined(separator: "\n") + "\n"
        try prompts.write(toFile: heldOut + "-prompts.txt", atomically: true, encoding: .utf8)
    }

    public static var trainingScenes: [Scene] { PopsicleStyle.scenes(count: trainingCount, seed: seed) }
    public static var heldOutScenes: [Scene] { PopsicleStyle.scenes(count: heldOutCount, startingAt: trainingCount, seed: seed + 1) }
    public static var heldOutPrompts: [String] {
        PopsicleStyle.scenes(count: promptCount, startingAt: trainingCount, seed: seed + 1).map(PopsicleStyle.caption)
    }
}
