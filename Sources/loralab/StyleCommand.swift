import ArgumentParser
import Foundation
import Imaging
import Scenes

/// `loralab style`: how much pictures look like the style of the demonstration's data set.
struct StyleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "style", abstract: "Say how much pictures look like the demonstration's style: 0 not at all, 1 wholly.")

    @Argument(help: "PNG files, or folders of them.") var paths: [String]
    @Flag(help: "One JSON object with the keys pictures, score (the mean) and recognised.") var json = false

    func run() throws {
        let scores = try paths.flatMap(Self.pictures).map { (path: $0, score: StyleMeasure.score(try Picture.load(path: $0))) }
        guard !scores.isEmpty else { throw CommandError("No PNG files in \(paths.joined(separator: ", ")).") }
        let mean = scores.reduce(0) { $0 + Double($1.score) } / Double(scores.count)
        let recognised = scores.count { $0.score >= StyleMeasure.threshold }
        if json {
            print(#"{"pictures": \#(scores.count), "score": \#((mean * 10000).rounded() / 10000), "recognised": \#(recognised)}"#)
        } else {
            for (path, score) in scores { print(score, path) }
            print("mean \(mean); \(recognised) of \(scores.count) pass for the style (\(StyleMeasure.threshold) or more)")
        }
    }

    private static func pictures(_ path: String) throws -> [String] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { throw CommandError("\(path) does not exist.") }
        guard isFolder.boolValue else { return [path] }
        return try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.lowercased().hasSuffix(".png") }.sorted().map { path + "/" + $0 }
    }
}
