import Checkpoints
import Neural
import TensorCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A vision transformer that attends within shifted windows, by cosine and with a learnt bias of distance (Liu et al. 2022,
/// arXiv:2111.09883): timm's `SwinTransformerV2`.
struct TaggerSwinV2: Sendable {
    struct Configuration: Sendable {
        var patchSize = 4
        /// Of the first stage; each further one has twice as many channels.
        var width: Int
        var depths: [Int], heads: [Int]
        /// Cells along a window's side, and those of the training before (0: the same).
        var windows: [Int], pretrainedWindows: [Int]
        var mlpRatio = 4.0
        var hasQKVBias = true
        /// Windows are cut, and shifted, where a single one would cover the picture too.
        var alwaysPartitions = false
        var activation = ActivationFunction.gelu

        func changed(by arguments: inout ModelArguments, pool: String?) throws(ConfigurationError) -> Configuration {
            var c = self
            c.patchSize = try arguments.side("patch_size") ?? patchSize
            c.width = try arguments.number("embed_dim") ?? width
            c.depths = try arguments.numbers("depths") ?? depths
            c.heads = try arguments.numbers("num_heads") ?? heads
            let stages = c.depths.count
            c.windows = try arguments.numbers("window_size", each: stages) ?? Self.fitted(windows, to: stages)
            c.pretrainedWindows = try arguments.numbers("pretrained_window_sizes", each: stages) ?? Self.fitted(pretrainedWindows, to: stages)
            c.mlpRatio = try arguments.decimal("mlp_ratio") ?? mlpRatio
            c.hasQKVBias = try arguments.flag("qkv_bias") ?? hasQKVBias
            c.alwaysPartitions = try arguments.flag("always_partition") ?? alwaysPartitions
            c.activation = try arguments.activation("act_layer") ?? activation
            guard pool == nil || pool == "avg" else { throw .unsupported(key: "global_pool", value: "\"\(pool ?? "")\"", supported: "\"avg\"") }
            try arguments.require("in_chans", 3)
            try arguments.require("norm_layer", .string("layernorm"))
            return c
        }

        /// The defaults of four stages, for as many as there are.
        private static func fitted(_ values: [Int], to count: Int) -> [Int] { (0..<count).map { values[min($0, values.count - 1)] } }
    }

    let patches: Conv2d, patchNorm: LayerNorm
    let stages: [Stage]
    let norm: LayerNorm, head: Linear

    private static let epsilon: Float = 1e-5

    init(_ w: Weights, _ c: Configuration, imageSize: Int, classes: Int) throws(CheckpointError) {
        patches = try Conv2d(w["patch_embed"]["proj"], 3, c.width, kernel: c.patchSize, stride: c.patchSize)
        patchNorm = try LayerNorm(w["patch_embed"]["norm"], width: c.width, epsilon: Self.epsilon)
        var stages: [Stage] = []
        for i in c.depths.indices {
            let cells = (imageSize / c.patchSize + (1 << i) - 1) >> i    // halved and rounded up, once a stage
            stages.append(try Stage(w["layers"][i], c, stage: i, cells: cells))
        }
        self.stages = stages
        let width = c.width << (c.depths.count - 1)
        norm = try LayerNorm(w["norm"], width: width, epsilon: Self.epsilon)
        head = try Linear(w["head"]["fc"], width, classes)
    }

    /// - Parameter pixels: `[B, H, W, 3]`. - Returns: logits `[B, classes]`.
    func callAsFunction(_ pixels: Tensor) -> Tensor {
        var h = patchNorm(patches(pixels))
        for stage in stages { h = stage(h) }
        return head(norm(h).mean(axis: 1).mean(axis: 1))
    }

    /// Two by two cells merged into one, except for the first stage; then blocks, every other one with its windows shifted.
    struct Stage: Sendable {
        let reduction: Linear?, norm: LayerNorm?
        let blocks: [Block]

        init(_ w: Weights, _ c: Configuration, stage: Int, cells: Int) throws(CheckpointError) {
            let width = c.width << stage
            reduction = stage > 0 ? try Linear(w["downsample"]["reduction"], 2 * width, width, bias: false) : nil
            norm = stage > 0 ? try LayerNorm(w["downsample"]["norm"], width: width, epsilon: TaggerSwinV2.epsilon) : nil
            var blocks: [Block] = []
            for i in 0..<c.depths[stage] {
                blocks.append(try Block(w["blocks"][i], c, stage: stage, cells: cells, isShifted: i % 2 == 1))
            }
            self.blocks = blocks
        }

        /// - Parameter x: `[B, H, W, C]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            var h = x
            if let reduction, let norm { h = norm(reduction(Self.merged(x))) }
            for block in blocks { h = block(h) }
            return h
        }

        /// `[B, H, W, C]` → `[B, H/2, W/2, 4C]`, odd sides filled up with zeros.
        private static func merged(_ x: Tensor) -> Tensor {
            let even = x.padded(bottom: x.shape[1] % 2, right: x.shape[2] % 2)
            let (b, h, w, c) = (even.shape[0], even.shape[1] / 2, even.shape[2] / 2, even.shape[3])
            return even.reshaped([b, h, 2, w, 2, c]).transposed([0, 1, 3, 4, 2, 5]).reshaped([b, h, w, 4 * c])
        }
    }

    /// Attention within windows and a feed-forward network, each normalised before it is added.
    struct Block: Sendable {
        let attention: WindowAttention, norm1: LayerNorm
        let first: Linear, second: Linear, norm2: LayerNorm
        let activation: ActivationFunction
        /// Cells.
        let window: Int, shift: Int

        init(_ w: Weights, _ c: Configuration, stage: Int, cells: Int, isShifted: Bool) throws(CheckpointError) {
            let width = c.width << stage, wanted = c.windows[stage], inner = Int(Double(width) * c.mlpRatio)
            window = c.alwaysPartitions ? wanted : min(wanted, cells)
            shift = isShifted && (c.alwaysPartitions || cells > wanted) ? wanted / 2 : 0
            attention = try WindowAttention(
                w["attn"], width: width, heads: c.heads[stage], window: window, pretrained: c.pretrainedWindows[stage], hasBias: c.hasQKVBias)
            norm1 = try LayerNorm(w["norm1"], width: width, epsilon: TaggerSwinV2.epsilon)
            first = try Linear(w["mlp"]["fc1"], width, inner)
            second = try Linear(w["mlp"]["fc2"], inner, width)
            norm2 = try LayerNorm(w["norm2"], width: width, epsilon: TaggerSwinV2.epsilon)
            activation = c.activation
        }

        /// - Parameter x: `[B, H, W, C]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            let h = x + norm1(attended(x))
            return h + norm2(second(activation(first(h))))
        }

        private func attended(_ x: Tensor) -> Tensor {
            let (b, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
            let full = x.rolled(by: -shift).padded(bottom: (window - h % window) % window, right: (window - w % window) % window)
            let rows = full.shape[1] / window, columns = full.shape[2] / window
            let windows = full.reshaped([b, rows, window, columns, window, c]).transposed([0, 1, 3, 2, 4, 5])
                .reshaped([b * rows * columns, window * window, c])
            let seen = attention(windows, mask: shift > 0 ? mask(rows, columns) : nil)
            let whole = seen.reshaped([b, rows, columns, window, window, c]).transposed([0, 1, 3, 2, 4, 5])
                .reshaped([b, rows * window, columns * window, c])
            return whole.sliced(axis: 1, from: 0, to: h).sliced(axis: 2, from: 0, to: w).rolled(by: shift)
        }

        /// `[windows, 1, T, T]`: −100 between cells that only the shift has made neighbours.
        private func mask(_ rows: Int, _ columns: Int) -> Tensor {
            func region(_ at: Int, of size: Int) -> Int { at < size - window ? 0 : at < size - shift ? 1 : 2 }
            let tokens = window * window
            return Tensor(shape: [rows * columns, 1, tokens, tokens]) { target in
                for place in 0..<(rows * columns) {
                    let regions = (0..<tokens).map { token in
                        3 * region(place / columns * window + token / window, of: rows * window)
                            + region(place % columns * window + token % window, of: columns * window)
                    }
                    for q in 0..<tokens {
                        for k in 0..<tokens { target[(place * tokens + q) * tokens + k] = regions[q] == regions[k] ? 0 : -100 }
                    }
                }
            }
        }
    }

    /// `softmax(cos(q, k) · s + 16 σ(bias(distance)))` v, s and the bias learnt for each head.
    struct WindowAttention: Sendable {
        let qkv: Linear, projection: Linear
        /// `[C]`.
        let queryBias: Parameter?, valueBias: Parameter?
        /// `[heads, 1, 1]`, the logarithm of s.
        let logitScale: Parameter
        let first: Linear, second: Linear
        let heads: Int, window: Int, pretrained: Int

        /// Of the network that makes biases of distances.
        private static let innerWidth = 512
        /// ln 100: s does not grow beyond.
        private static let largestLogScale: Float = 4.605_170_2

        init(_ w: Weights, width: Int, heads: Int, window: Int, pretrained: Int, hasBias: Bool) throws(CheckpointError) {
            self.heads = heads
            self.window = window
            self.pretrained = pretrained
            logitScale = try w.parameter("logit_scale", shape: [heads, 1, 1], initial: .constant(2.302_585_1))   // ln 10
            first = try Linear(w["cpb_mlp"][0], 2, Self.innerWidth)
            second = try Linear(w["cpb_mlp"][2], Self.innerWidth, heads, bias: false)
            qkv = try Linear(w["qkv"], width, 3 * width, bias: false)
            queryBias = hasBias ? try w.parameter("q_bias", shape: [width], initial: .zeros) : nil
            valueBias = hasBias ? try w.parameter("v_bias", shape: [width], initial: .zeros) : nil
            projection = try Linear(w["proj"], width, width)
        }

        /// - Parameters:
        ///   - x: `[B · windows, T, C]`.
        ///   - mask: `[windows, 1, T, T]`, added to the scores.
        func callAsFunction(_ x: Tensor, mask: Tensor?) -> Tensor {
            let (count, tokens, width) = (x.shape[0], x.shape[1], x.shape[2])
            let parts = qkv(x).split(axis: 2, sizes: [width, width, width])
            func split(_ t: Tensor) -> Tensor { t.reshaped([count, tokens, heads, width / heads]).transposed([0, 2, 1, 3]) }
            let q = split(queryBias.map { parts[0] + $0.tensor } ?? parts[0]).withUnitRows()
            let k = split(parts[1]).withUnitRows()
            let v = split(valueBias.map { parts[2] + $0.tensor } ?? parts[2])
            var scores = q.matmul(k, transposed: true) * logitScale.tensor.clamped(-.infinity, Self.largestLogScale).exp() + bias()
            if let mask {
                let windows = mask.shape[0]
                scores = (scores.reshaped([count / windows, windows, heads, tokens, tokens]) + mask).reshaped([count, heads, tokens, tokens])
            }
            let seen = scores.softmax().matmul(v).transposed([0, 2, 1, 3]).reshaped([count, tokens, width])
            return projection(seen)
        }

        /// `[heads, T, T]` from the distances of all cells of a window.
        private func bias() -> Tensor {
            let side = 2 * window - 1, span = Float(max((pretrained > 0 ? pretrained : window) - 1, 1))
            // sign(d) log₂(|d| + 1) / log₂ 8, distances scaled to −8 … 8.
            let steps = (0..<side).map { place in
                let distance = Float(place - window + 1) / span * 8
                return (distance < 0 ? -1 : 1) * log2(abs(distance) + 1) / 3
            }
            let table = Tensor((0..<(side * side)).flatMap { [steps[$0 / side], steps[$0 % side]] }, shape: [side * side, 2])
            let values = second(first(table).relu())                     // [side², heads]
            let tokens = window * window
            let places = (0..<(tokens * tokens)).map { pair in
                let (a, b) = (pair / tokens, pair % tokens)
                return (a / window - b / window + window - 1) * side + a % window - b % window + window - 1
            }
            return Tensor.embedding(values, places, shape: [tokens, tokens]).transposed([2, 0, 1]).sigmoid() * 16
        }
    }
}

extension Tensor {
    /// Each row of the last axis divided by its length.
    fileprivate func withUnitRows() -> Tensor {
        self / square().sum(axis: -1, keepingAxis: true).sqrt().clamped(1e-12, .infinity)
    }

    /// `[B, H, W, C]` with zeros added below and at the right.
    fileprivate func padded(bottom: Int, right: Int) -> Tensor {
        var result = self
        if bottom > 0 { result = Tensor.concatenated([result, .zeros([shape[0], bottom, shape[2], shape[3]])], axis: 1) }
        if right > 0 { result = Tensor.concatenated([result, .zeros([shape[0], result.shape[1], right, shape[3]])], axis: 2) }
        return result
    }

    /// `[B, H, W, C]` moved down and to the right, what leaves at one side coming in at the other.
    fileprivate func rolled(by cells: Int) -> Tensor {
        guard cells != 0 else { return self }
        return [1, 2].reduce(self) { picture, axis in
            let size = picture.shape[axis], cut = ((-cells % size) + size) % size
            return Tensor.concatenated(
                [picture.sliced(axis: axis, from: cut, to: size), picture.sliced(axis: axis, from: 0, to: cut)], axis: axis)
        }
    }
}
