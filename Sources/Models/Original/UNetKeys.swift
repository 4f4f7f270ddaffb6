import Checkpoints

extension KeyTable {
    /// The original names of a UNet (without "model.diffusion_model.") in terms of diffusers'.
    static func unet(_ configuration: UNet.Configuration) throws(ConfigurationError) -> KeyTable {
        UNetLayout(
            layers: try configuration.levels().map(\.layers), attendsDown: configuration.downBlockTypes.map { $0.hasPrefix("CrossAttn") },
            attendsUp: configuration.upBlockTypes.map { $0.hasPrefix("CrossAttn") }, hasAddedEmbedding: configuration.additionEmbedType != nil
        ).table
    }
}

extension UNet.Configuration {
    /// The architecture that an original file's tensors have.
    ///
    /// - Parameters:
    ///   - shapes: by original names without "model.diffusion_model.".
    ///   - pooledWidth: of the second text encoder's pooled vector; what the added embedding has beyond it is for the six sizes.
    init(original shapes: OriginalShapes, heads rule: HeadRule, pooledWidth: Int?) throws {
        self.init()
        let input = try shapes.shape("input_blocks.0.0.weight", rank: 4), output = try shapes.shape("out.2.weight", rank: 4)
        (inChannels, convInKernel, outChannels, convOutKernel) = (input[1], input[2], output[0], output[2])
        let down = try Self.downLevels(shapes)
        let middle = try OriginalLayer(shapes, "middle_block.0", attention: "middle_block.1")
        let attending = (down.map(\.layer.attention) + [middle.attention]).compactMap { $0 }
        guard let first = attending.first, middle.attention != nil else {
            throw shapes.unexpected("middle_block.1", "no attention", "a transformer")
        }
        guard attending.allSatisfy({ $0.contextWidth == first.contextWidth && $0.isLinear == first.isLinear }) else {
            throw shapes.unexpected("attn2.to_k", "of several widths", "one width for all")
        }
        let depths = down.enumerated().map { i, level in       // the lowest level's is the middle's, whether it attends itself or not
            (level.layer.attention ?? (i == down.count - 1 ? middle.attention : nil))?.depth ?? 1
        }
        guard depths.last == middle.attention?.depth else {
            throw shapes.unexpected("middle_block.1", "\(middle.attention?.depth ?? 0) transformer blocks deep", "\(depths.last ?? 0), as the lowest level is")
        }
        blockOutChannels = down.map(\.layer.channels)
        layersPerBlock = Set(down.map(\.count)).count == 1 ? .one(down[0].count) : .many(down.map(\.count))
        downBlockTypes = down.map { $0.layer.attention == nil ? "DownBlock2D" : "CrossAttnDownBlock2D" }
        upBlockTypes = try Self.upLevels(shapes, down, depths).map { $0 ? "CrossAttnUpBlock2D" : "UpBlock2D" }
        transformerLayersPerBlock = Set(depths) == [1] ? .one(1) : .many(depths)
        crossAttentionDim = .one(first.contextWidth)
        useLinearProjection = first.isLinear
        let heads = try down.enumerated().map { i, level in
            let isNeeded = level.layer.attention != nil || i == down.count - 1
            return isNeeded ? try rule.heads(of: level.layer.channels, file: shapes.file) : (try? rule.heads(of: level.layer.channels, file: "")) ?? 1
        }
        attentionHeadDim = Set(heads).count == 1 ? .one(heads[0]) : .many(heads)
        let time = try shapes.shape("time_embed.0.weight", rank: 2)
        timeEmbeddingDim = time[0] == 4 * blockOutChannels[0] ? nil : time[0]
        guard shapes.contains("label_emb.0.0.weight") else { return }
        let added = try shapes.shape("label_emb.0.0.weight", rank: 2)[1]
        guard let pooledWidth, added > pooledWidth, (added - pooledWidth) % SizeConditioning.count == 0 else {
            throw shapes.unexpected("label_emb.0.0.weight", "\(added) wide", "the pooled text's width and six times the width of a size's embedding")
        }
        additionEmbedType = "text_time"
        additionTimeEmbedDim = (added - pooledWidth) / SizeConditioning.count
        projectionClassEmbeddingsInputDim = added
    }

    /// Residual block and transformer of one place in the row.
    private struct OriginalLayer: Equatable {
        struct Attention: Equatable { let depth: Int, contextWidth: Int, isLinear: Bool }
        let channels: Int
        let attention: Attention?

        init(_ shapes: OriginalShapes, _ resnet: String, attention: String) throws {
            channels = try shapes.shape("\(resnet).out_layers.3.weight", rank: 4)[0]
            guard shapes.contains("\(attention).norm.weight") else { self.attention = nil; return }
            let projection = shapes.shapes["\(attention).proj_in.weight"] ?? []
            self.attention = Attention(
                depth: shapes.count { "\(attention).transformer_blocks.\($0).norm1.weight" },
                contextWidth: try shapes.shape("\(attention).transformer_blocks.0.attn2.to_k.weight", rank: 2)[1], isLinear: projection.count == 2)
        }
    }

    /// What the layers of each level have in common, and their number.
    private static func downLevels(_ shapes: OriginalShapes) throws -> [(layer: OriginalLayer, count: Int)] {
        var levels: [(layer: OriginalLayer, count: Int)] = [], startsLevel = true, block = 1
        while true {
            let key = "input_blocks.\(block).0"
            if shapes.contains("\(key).op.weight") {
                startsLevel = true
            } else if shapes.contains("\(key).in_layers.0.weight") {
                let layer = try OriginalLayer(shapes, key, attention: "input_blocks.\(block).1")
                if startsLevel {
                    levels.append((layer, 1))
                } else {
                    guard layer == levels[levels.count - 1].layer else { throw shapes.unexpected(key, "other than the layer before it", "the same within a level") }
                    levels[levels.count - 1].count += 1
                }
                startsLevel = false
            } else {
                break
            }
            block += 1
        }
        guard !levels.isEmpty, !startsLevel else { throw shapes.unexpected("input_blocks.\(block)", "missing", "a residual block") }
        return levels
    }

    /// Whether each level of the way up, from the lowest on, attends.
    private static func upLevels(_ shapes: OriginalShapes, _ down: [(layer: OriginalLayer, count: Int)], _ depths: [Int]) throws -> [Bool] {
        var block = 0
        return try zip(down, depths).reversed().map { level, depth in
            let layers = try (0...level.count).map { try OriginalLayer(shapes, "output_blocks.\(block + $0).0", attention: "output_blocks.\(block + $0).1") }
            let isUniform = layers.allSatisfy { $0 == layers[0] } && layers[0].channels == level.layer.channels
            guard isUniform, layers[0].attention.map({ $0.depth == depth }) ?? true else {
                throw shapes.unexpected("output_blocks.\(block)", "built otherwise than the way down", "the same channels and depths")
            }
            block += layers.count
            return layers[0].attention != nil
        }
    }
}
