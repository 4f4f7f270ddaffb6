import Foundation
import Imaging
import Scenes
import Testing

@Suite struct PopsicleStyleTests {
    @Test("the measure tells 200 drawn pictures from 200 of the base")
    func separation() {
        var generator = SplitMix64(seed: 21)
        let base = (0..<200).map { _ in StyleMeasure.score(Scene.random(using: &generator).render(size: 64)) }
        let styled = PopsicleStyle.scenes(count: 200, seed: 22).map { StyleMeasure.score(PopsicleStyle.render($0, size: 64)) }
        func summary(_ scores: [Float]) -> String {
            "mean \(scores.reduce(0, +) / Float(scores.count)), \(scores.min() ?? 0)...\(scores.max() ?? 0)"
        }
        print("StyleMeasure: base \(summary(base)); styled \(summary(styled))")
        #expect(base.allSatisfy { $0 < StyleMeasure.threshold - 0.2 })
        #expect(styled.allSatisfy { $0 > StyleMeasure.threshold + 0.3 })
    }

    @Test("training and held-out scenes spread over shapes and colours and share no pair")
    func spread() {
        struct Pair: Hashable { let shape: Vocabulary.Shape, colour: Vocabulary.Colour }
        func pairs(_ scenes: [Scene]) -> Set<Pair> { Set(scenes.map { Pair(shape: $0.shape, colour: $0.colour) }) }
        let (training, heldOut) = (DemoDataset.trainingScenes, DemoDataset.heldOutScenes)
        #expect(pairs(training).count == DemoDataset.trainingCount && pairs(heldOut).count == DemoDataset.heldOutCount)
        #expect(pairs(training).isDisjoint(with: pairs(heldOut)))
        for scenes in [training, heldOut] {
            #expect(Set(scenes.map(\.shape)).count == Vocabulary.Shape.allCases.count)
            #expect(Set(scenes.map(\.colour)).count == Vocabulary.Colour.allCases.count)
        }
    }

    @Test("the data set is written as Kohya reads it, captions only beside held-out pictures")
    func dataset() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("popsicle-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try DemoDataset.write(to: folder, heldOut: folder + "/exam", size: 64)
        let training = try FileManager.default.contentsOfDirectory(atPath: folder + "/15_popsicle")
        #expect(Set(training) == Set((1...24).map { String(format: "%02d.png", $0) }))
        let heldOut = try FileManager.default.contentsOfDirectory(atPath: folder + "/exam")
        #expect(heldOut.count == 24)
        for (index, scene) in DemoDataset.heldOutScenes.enumerated() {
            let stem = folder + "/exam/" + String(format: "%02d", index + 1)
            let caption = try String(contentsOfFile: stem + ".txt", encoding: .utf8)
            #expect(caption.hasPrefix(PopsicleStyle.trigger))
            #expect(Vocabulary.mentionedShape(in: caption) == scene.shape && Vocabulary.mentionedColour(in: caption) == scene.colour)
            #expect(try Picture.load(path: stem + ".png") == PopsicleStyle.render(scene, size: 64))
        }
    }
}
