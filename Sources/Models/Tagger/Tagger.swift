import Checkpoints
import Foundation
import Imaging
import Neural
import TensorCore

/// A captioner that names a picture's tags with their probabilities: the WD taggers in timm's layout (ViT, ConvNeXt, SwinV2).
///
/// Read from safetensors only. The older taggers come as ONNX files; ONNX Runtime is not in Debian, and is not used.
public final class Tagger: Sendable {
    public let configuration: Configuration
    public let registry: Registry
    public let table: TagTable
    public let location: String
    private let network: Network

    private enum Network: Sendable { case viT(TaggerViT), convNeXt(TaggerConvNeXt), swinV2(TaggerSwinV2) }

    public init(configuration: Configuration, table: TagTable, weights w: Weights, location: String) throws {
        guard table.tags.count == configuration.classes else {
            throw ConfigurationError.invalid(
                key: "num_classes", value: "\(configuration.classes)", expected: "\(table.tags.count), the number of tags in selected_tags.csv")
        }
        self.configuration = configuration
        self.table = table
        self.location = location
        registry = w.registry
        let (size, classes) = (configuration.imageSize, configuration.classes)
        network = switch configuration.network {
        case .viT(let c): .viT(try TaggerViT(w, c, imageSize: size, classes: classes))
        case .convNeXt(let c): .convNeXt(try TaggerConvNeXt(w, c, classes: classes))
        case .swinV2(let c): .swinV2(try TaggerSwinV2(w, c, imageSize: size, classes: classes))
        }
        // Tables that follow from the sizes, stored by older releases.
        try w.requireEveryKeyUsed { key in ["relative_coords_table", "relative_position_index", "attn_mask", "k_bias"].contains { key.hasSuffix($0) } }
    }

    /// Reads a folder: `config.json`, `model.safetensors`, `selected_tags.csv`.
    public static func load(folder: String, precision: DType? = nil) throws -> Tagger {
        let tagger = try Tagger(
            configuration: ConfigurationFile.read(Configuration.self, folder + "/config.json"),
            table: TagTable(path: folder + "/selected_tags.csv"),
            weights: Weights(WeightFolder.open(folder), precision: precision), location: folder)
        try tagger.registry.requireUnchanged()      // as the numbers that were copied meanwhile
        return tagger
    }

    /// Pixels along a side of the pictures that the network sees.
    public var imageSize: Int { configuration.imageSize }

    /// - Parameter pixels: `[B, imageSize, imageSize, 3]` as `preprocessed` makes them.
    /// - Returns: `[B, classes]`, before the sigmoid.
    public func logits(_ pixels: Tensor) -> Tensor {
        withoutGradients {
            switch network {
            case .viT(let network): network(pixels)
            case .convNeXt(let network): network(pixels)
            case .swinV2(let network): network(pixels)
            }
        }
    }

    /// The probability of every class, for each picture.
    public func probabilities(_ pictures: [Pixels]) -> [[Float]] {
        pictures.map { logits(preprocessed([$0])).sigmoid().array }
    }

    /// One caption for each picture; an empty one where no tag is likely enough.
    ///
    /// - Parameter isCancelled: asked before every picture; true ends with those that are done.
    public func caption(pictures: [Pixels], selection: TagSelection = TagSelection(), isCancelled: () -> Bool = { false }) -> [String] {
        var captions: [String] = []
        for picture in pictures where !isCancelled() { captions.append(selection.caption(probabilities([picture])[0], from: table)) }
        return captions
    }

    /// Pictures as the network takes them: what is transparent laid on white, filled up to a square with white, resized (bicubic),
    /// normalised, blue before green before red.
    ///
    /// - Returns: `[B, imageSize, imageSize, 3]`.
    public func preprocessed(_ pictures: [Pixels]) -> Tensor {
        let side = imageSize, c = configuration
        let values = (0..<3).map { colour in (0...255).map { (Float($0) / 255 - c.mean[colour]) / c.deviation[colour] } }
        return Tensor(shape: [pictures.count, side, side, 3]) { target in
            var place = 0
            for picture in pictures {
                for (i, byte) in Self.squared(picture).resized(width: side, height: side, filter: .bicubic).rgb.enumerated() {
                    target[place + i - i % 3 + 2 - i % 3] = values[i % 3][Int(byte)]
                }
                place += 3 * side * side
            }
        }
    }

    /// In the middle of a white square.
    private static func squared(_ picture: Pixels) -> Pixels {
        let side = max(picture.width, picture.height)
        guard picture.width != picture.height else { return picture.flattened() }
        var board = Pixels(width: side, height: side)
        board.paste(picture.flattened(), x: (side - picture.width) / 2, y: (side - picture.height) / 2)
        return board
    }
}
