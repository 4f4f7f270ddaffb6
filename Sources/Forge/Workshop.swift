import Foundation

/// The folder in which the embedded model is made: pictures, cached latents, each stage's state, and what was measured.
public struct Workshop: Sendable {
    public let path: String

    /// - Parameter path: made if it is not there.
    public init(path: String) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func picturesPath(_ manner: PictureStore.Manner) -> String { path + "/\(manner.rawValue).rgb" }
    var latentsPath: String { path + "/latents.safetensors" }
    var tokenizerPath: String { path + "/tokenizer" }
    var captionerVocabularyPath: String { path + "/captioner-vocab.txt" }
    func statePath(_ stage: String) -> String { path + "/\(stage).state.safetensors" }
    func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}
