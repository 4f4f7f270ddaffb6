import Checkpoints
import Foundation
import Imaging
import Models
import Neural
import TensorCore
import TestSupport
import Testing

@Suite struct TaggerTests {
    private struct Case: Decodable {
        let name: String, config: Tagger.Configuration, logits: [Float], signature: String
    }

    /// A table of nine classes of every category.
    static let rows = """
        tag_id,name,category,count
        1,general,9,10
        2,sensitive,9,10
        3,1girl,0,100
        4,long_hair,0,90
        5,^_^,0,5
        6,(o)_(o),0,2
        7,"comma,_quote""s",0,1
        8,hero_(armor)_(some_series),4,7
        9,artist_name,1,3

        """

    static func table(_ text: String) throws -> TagTable {
        let path = CaptionerFixture.temporaryFolder() + ".csv"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return try TagTable(path: path)
    }

    /// A tagger of the smallest size.
    static func tagger(classes: Int, size: Int) throws -> Tagger {
        let config = """
            {"architecture": "vit_tiny_patch16_224", "num_classes": \(classes), "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
             "model_args": {"img_size": \(size), "embed_dim": 4, "depth": 1, "num_heads": 1, "global_pool": "avg", "class_token": false}}
            """
        let names = (0..<classes).map { "\($0),tag\($0),0,1\n" }.joined()
        return try Tagger(
            configuration: JSONDecoder().decode(Tagger.Configuration.self, from: Data(config.utf8)), table: table("tag_id,name,category,count\n" + names),
            weights: Weights(FormulaWeights()), location: "")
    }

    @Test("logits of ViT, ConvNeXt and SwinV2 are timm's, from picture to class, and so are the keys")
    func agrees() throws {
        for item in try CaptionerFixture.read("taggers", as: [Case].self) {
            let tagger = try Tagger(configuration: item.config, table: Self.table(Self.rows), weights: Weights(FormulaWeights()), location: "")
            #expect(FormulaWeights.signature(of: tagger.registry) == item.signature, "\(item.name)")
            let pixels = tagger.preprocessed([CaptionerFixture.picture(item.name, width: 61, height: 45)])
            let error = relativeError(tagger.logits(pixels).reshaped([9]), Tensor(item.logits, shape: [9]))
            #expect(error < modelTolerance, "\(item.name)")
            print("tagger \(item.name): \(error)")
        }
    }

    @Test("a folder is read and written names are told; half precision stays near")
    func folder() throws {
        let folder = CaptionerFixture.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let config = """
            {"architecture": "convnext_base", "num_classes": 9, "model_args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8], "img_size": null},
             "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
            """
        try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        try Self.rows.write(toFile: folder + "/selected_tags.csv", atomically: true, encoding: .utf8)
        let made = try Tagger(
            configuration: JSONDecoder().decode(Tagger.Configuration.self, from: Data(config.utf8)), table: TagTable(path: folder + "/selected_tags.csv"),
            weights: Weights(FormulaWeights()), location: "")
        try made.registry.write(to: folder + "/model.safetensors", dtype: .float16)
        let read = try CaptionModel.load(folder: folder)
        guard case .tagger(let tagger) = read else {
            Issue.record("not taken for a tagger")
            return
        }
        let picture = CaptionerFixture.picture("any", width: 30, height: 50)
        let halfPrecision: Float = 5e-3                                  // eleven bits, through a dozen layers
        #expect(relativeError(tagger.logits(tagger.preprocessed([picture])), made.logits(made.preprocessed([picture]))) < halfPrecision)
        var options = CaptionModel.Options()
        options.selection.generalThreshold = 0
        #expect(read.caption(pictures: [picture], options: options)[0].components(separatedBy: ", ").contains("long hair"))
        #expect(read.caption(pictures: [picture, picture], options: options, isCancelled: { true }).isEmpty)
        try "tag_id,name,category,count\n1,a,0,1\n".write(toFile: folder + "/selected_tags.csv", atomically: true, encoding: .utf8)
        #expect(throws: ConfigurationError.invalid(key: "num_classes", value: "9", expected: "1, the number of tags in selected_tags.csv")) {
            try Tagger.load(folder: folder)
        }
    }

    @Test("what is not built is told by its key", arguments: [
        ("\"resnet50\"", "{}", "architecture"), ("\"eva02_large_patch14_448\"", "{}", "architecture"), ("\"vit_base_patch16_224\"", "{\"reg_tokens\": 4}", "reg_tokens"),
        ("\"vit_base_patch16_224\"", "{\"global_pool\": \"map\"}", "global_pool"), ("\"convnext_base\"", "{\"use_grn\": true}", "use_grn"),
        ("\"convnext_base\"", "{\"widths\": [1]}", "model_args.widths"), ("\"swinv2_base_window8_256\"", "{\"act_layer\": \"mish\"}", "act_layer"),
        ("\"swinv2_base_window8_256\"", "{\"img_size\": [448, 224]}", "img_size"),
    ])
    func unsupported(architecture: String, arguments: String, key: String) {
        let text = "{\"architecture\": \(architecture), \"num_classes\": 2, \"model_args\": \(arguments)}"
        #expect { try JSONDecoder().decode(Tagger.Configuration.self, from: Data(text.utf8)) } throws: { error in
            if case .unsupported(key, _, _) = error as? ConfigurationError { true } else { false }
        }
    }

    @Test("sizes that do not fit are refused", arguments: [
        ("vit_base_patch16_224", "{\"num_heads\": 5}"), ("vit_base_patch16_224", "{\"img_size\": 100}"), ("vit_base_patch16_224", "{\"depth\": -1}"),
        ("convnext_base", "{\"depths\": [1, 1]}"), ("convnext_base", "{\"kernel_sizes\": 4}"), ("convnext_base", "{\"dims\": \"wide\"}"),
        ("swinv2_base_window8_256", "{\"num_heads\": [3, 8, 16, 32]}"), ("swinv2_base_window8_256", "{\"window_size\": [8, 8, 8]}"),
    ])
    func invalid(architecture: String, arguments: String) {
        let text = "{\"architecture\": \"\(architecture)\", \"num_classes\": 2, \"model_args\": \(arguments)}"
        #expect(throws: ConfigurationError.self) { try JSONDecoder().decode(Tagger.Configuration.self, from: Data(text.utf8)) }
    }
}

@Suite struct TagSelectionTests {
    static let probabilities: [Float] = [0.2, 0.7, 0.6, 0.9, 0.5, 0.4, 0.36, 0.95, 0.99]

    private func names(_ change: (inout TagSelection) -> Void) throws -> [String] {
        var selection = TagSelection()
        change(&selection)
        return selection.select(Self.probabilities, from: try TaggerTests.table(TaggerTests.rows)).map(\.name)
    }

    @Test("tags above their threshold by probability, underscores gone except in faces; neither ratings nor other categories")
    func plain() throws {
        let expected = ["hero (armor) (some series)", "long hair", "1girl", "^_^", "(o)_(o)", "comma, quote\"s"]
        #expect(try names { _ in } == expected)
        #expect(try names { $0.replacesUnderscores = false }.prefix(2) == ["hero_(armor)_(some_series)", "long_hair"])
        #expect(try names { $0.characterThreshold = 0.96; $0.generalThreshold = 0.6 } == ["long hair", "1girl"])   // a threshold is reached by equality
        var selection = TagSelection()
        selection.separator = "; "
        #expect(selection.caption(Self.probabilities, from: try TaggerTests.table(TaggerTests.rows)) == expected.joined(separator: "; "))
        #expect(selection.caption([Float](repeating: 0, count: 9), from: try TaggerTests.table(TaggerTests.rows)).isEmpty)
    }

    @Test("ratings, undesired tags, leaders, replacements and characters in two")
    func rules() throws {
        #expect(try names { $0.rating = .first }.first == "sensitive")
        #expect(try names { $0.rating = .last }.last == "sensitive")
        #expect(try names { $0.undesired = ["long_hair", "1girl", "hero (armor) (some series)"] } == ["^_^", "(o)_(o)", "comma, quote\"s"])
        #expect(try names { $0.alwaysFirst = ["1girl", "absent", "^_^"] }.prefix(3) == ["1girl", "^_^", "hero (armor) (some series)"])
        #expect(try names { $0.replacements = ["long hair": "hair"] }.dropFirst().first == "hair")
        #expect(try names { $0.expandsCharacters = true }.prefix(3) == ["hero (armor)", "some series", "long hair"])
        var first = TagSelection()
        first.charactersFirst = true
        let probabilities: [Float] = [0, 0, 0.9, 0.5, 0, 0, 0, 0.4, 0]
        #expect(first.caption(probabilities, from: try TaggerTests.table(TaggerTests.rows)) == "hero (armor) (some series), 1girl, long hair")
    }

    @Test("a table that is none is told with its path and row", arguments: ["", "a,b\n1,2\n", "tag_id,name,category,count\n1,x,general,2\n", "name,category\nx\n"])
    func wrongTable(text: String) { #expect(throws: ConfigurationError.self) { try TaggerTests.table(text) } }
}
