import Foundation
import Imaging
import Neural
import TensorCore

/// A captioner of either kind, told apart by what its folder's `config.json` says.
public enum CaptionModel: Sendable {
    case blip(BLIPCaptioner)
    case tagger(Tagger)

    /// How captions are made: each kind uses its own part.
    public struct Options: Sendable {
        /// For sentences.
        public var prompt = ""
        public var generation = BLIP.GenerationOptions()
        /// For tags.
        public var selection = TagSelection()

        public init() {}
    }

    /// - Throws: `ConfigurationError.unknownComponent` naming what was found where it is neither BLIP of transformers' layout nor a
    ///   tagger of timm's.
    public static func load(folder: String, precision: DType? = nil) throws -> CaptionModel {
        let path = folder + "/config.json"
        let kind = try ConfigurationFile.read(Kind.self, path)
        if kind.model_type == "blip" { return .blip(try BLIPCaptioner.load(folder: folder, precision: precision)) }
        if kind.architecture != nil, kind.model_type == nil { return .tagger(try Tagger.load(folder: folder, precision: precision)) }
        throw ConfigurationError.unknownComponent(
            kind.model_type.map { "of model_type \"\($0)\"" } ?? kind.name ?? "without model_type or architecture", file: path,
            expected: "model_type \"blip\" (a captioner of transformers' layout) or an architecture (a tagger of timm's layout)")
    }

    private struct Kind: Decodable {
        let model_type: String?, architecture: String?, _class_name: String?
        var name: String? { _class_name.map { "\"\($0)\" of diffusers" } }
    }

    public var location: String {
        switch self {
        case .blip(let captioner): captioner.location
        case .tagger(let tagger): tagger.location
        }
    }

    public var registry: Registry {
        switch self {
        case .blip(let captioner): captioner.model.registry
        case .tagger(let tagger): tagger.registry
        }
    }

    /// Whether its files are still those that were loaded.
    public var isUnchanged: Bool { (try? requireUnchanged()) != nil }

    /// Requires that its files are still those that were loaded.
    /// - Throws: `ModelFileError.changed`.
    public func requireUnchanged() throws(ModelFileError) {
        try registry.requireUnchanged(wayOut: "Run the cell again: the captioner is then read anew.")
    }

    /// One caption for each picture.
    public func caption(pictures: [Pixels], options: Options = Options(), isCancelled: () -> Bool = { false }) -> [String] {
        switch self {
        case .blip(let captioner):
            captioner.caption(pictures: pictures, prompt: options.prompt, options: options.generation, isCancelled: isCancelled)
        case .tagger(let tagger): tagger.caption(pictures: pictures, selection: options.selection, isCancelled: isCancelled)
        }
    }
}
