extension UNet.Configuration {
    /// Channels of the residual blocks and of the transformers of each level, for one latent cell: a block of a level that is 2ⁿ times
    /// narrower counts 4⁻ⁿ. What a training step keeps for its backward pass is proportional to these.
    ///
    /// - Returns: inputs plus twice the outputs of the residual blocks; widths times layers of the transformers.
    public func channelsPerCell() throws(ConfigurationError) -> [(residual: Double, transformer: Double)] {
        let levels = try levels(), widths = blockOutChannels, last = levels.count - 1
        var channels = Array(repeating: (residual: 0.0, transformer: 0.0), count: levels.count)
        func add(_ inputs: Int, _ level: Int, attends: Bool) {
            let area = 1 / Double(1 << (2 * level))
            channels[level].residual += Double(inputs + 2 * widths[level]) * area
            if attends { channels[level].transformer += Double(widths[level] * levels[level].transformerLayers) * area }
        }
        for (i, level) in levels.enumerated() {
            let isDownAttending = downBlockTypes[i].hasPrefix("CrossAttn"), isUpAttending = upBlockTypes[last - i].hasPrefix("CrossAttn")
            for layer in 0..<level.layers { add(layer == 0 ? widths[max(i - 1, 0)] : widths[i], i, attends: isDownAttending) }
            for layer in 0...level.layers {
                let before = layer == 0 ? widths[min(i + 1, last)] : widths[i], skipped = layer == level.layers ? widths[max(i - 1, 0)] : widths[i]
                add(before + skipped, i, attends: isUpAttending)
            }
        }
        if midBlockType != .absent {
            add(widths[last], last, attends: midBlockType == .crossAttention)
            add(widths[last], last, attends: false)
        }
        return channels
    }
}
