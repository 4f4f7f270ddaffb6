import Checkpoints
import Neural
import TensorCore

/// What the blocks of one UNet evaluation share.
struct Conditioning {
    /// Timestep embedding after the activation, `[B, D]`.
    let time: Tensor
    /// Text states `[B, T, D]`.
    let context: Tensor
    let cache: ContextCache?
    let recomputes: Bool
}

/// Keys and values that cross-attention made of one fixed context, so that a sampling run makes them once.
///
/// Good for one context and unchanged adapters, without gradients, on one thread. A sampler makes one for each run.
public final class ContextCache {
    private var entries: [ObjectIdentifier: (keys: Tensor, values: Tensor)] = [:]

    public init() {}

    func entry(for layer: Linear, _ make: () -> (keys: Tensor, values: Tensor)) -> (keys: Tensor, values: Tensor) {
        if let entry = entries[ObjectIdentifier(layer)] { return entry }
        let made = make()
        entries[ObjectIdentifier(layer)] = made
        return made
    }
}

/// Multi-head attention from tokens to tokens or to a context (keys "to_q", "to_k", "to_v", "to_out.0"; Vaswani et al. 2017,
/// arXiv:1706.03762).
struct Attention: Sendable {
    let toQ: Linear, toK: Linear, toV: Linear, toOut: Linear
    let heads: Int

    init(_ w: Weights, width: Int, contextWidth: Int, heads: Int) throws(CheckpointError) {
        self.heads = heads
        toQ = try Linear(w["to_q"], width, width, bias: false)
        toK = try Linear(w["to_k"], contextWidth, width, bias: false)
        toV = try Linear(w["to_v"], contextWidth, width, bias: false)
        toOut = try Linear(w["to_out"][0], width, width)
    }

    /// - Parameters:
    ///   - x: `[B, T, D]`.
    ///   - context: `[B, S, Dc]`; nil attends to `x`.
    ///   - cache: kept keys and values of this context.
    /// - Returns: `[B, T, D]`.
    func callAsFunction(_ x: Tensor, context: Tensor? = nil, cache: ContextCache? = nil) -> Tensor {
        let source = context ?? x
        func project() -> (keys: Tensor, values: Tensor) { (toK(source), toV(source)) }
        let (keys, values) = cache?.entry(for: toK, project) ?? project()
        return toOut(Tensor.attention(toQ(x), keys, values, heads: heads))
    }
}

/// Self-attention, cross-attention and a gated feed-forward network, each after layer normalisation and around a skip:
/// diffusers' `BasicTransformerBlock`.
struct TransformerBlock: Sendable {
    let norm1: LayerNorm, attention1: Attention
    let norm2: LayerNorm, attention2: Attention
    let norm3: LayerNorm, gate: Linear, output: Linear
    /// Whether the first attention, too, looks at the context.
    let onlyCrossAttention: Bool

    init(_ w: Weights, width: Int, level: UNet.Configuration.Level) throws(CheckpointError) {
        let inner = 4 * width
        onlyCrossAttention = level.onlyCrossAttention
        norm1 = try LayerNorm(w["norm1"], width: width)
        attention1 = try Attention(
            w["attn1"], width: width, contextWidth: level.onlyCrossAttention ? level.contextWidth : width, heads: level.heads)
        norm2 = try LayerNorm(w["norm2"], width: width)
        attention2 = try Attention(w["attn2"], width: width, contextWidth: level.contextWidth, heads: level.heads)
        norm3 = try LayerNorm(w["norm3"], width: width)
        gate = try Linear(w["ff"]["net"][0]["proj"], width, 2 * inner)
        output = try Linear(w["ff"]["net"][2], inner, width)
    }

    /// - Parameters:
    ///   - x: `[B, T, D]`.
    ///   - context: `[B, S, Dc]`.
    func callAsFunction(_ x: Tensor, context: Tensor, cache: ContextCache?) -> Tensor {
        var h = x + attention1(norm1(x), context: onlyCrossAttention ? context : nil, cache: onlyCrossAttention ? cache : nil)
        h = h + attention2(norm2(h), context: context, cache: cache)
        return h.mapRows(atMost: Self.tokensAtOnce) { $0 + output(gate(norm3($0)).geglu()) }
    }

    /// The feed-forward network's hidden layer is eight times as wide as the tokens, and they do not need each other there.
    private static let tokensAtOnce = 2048
}

/// Transformer blocks over the cells of a feature map, around a skip: diffusers' `Transformer2DModel`.
struct SpatialTransformer: Sendable {
    let norm: GroupNorm
    let projectIn: Projection, projectOut: Projection
    let blocks: [TransformerBlock]

    /// SD 1 projects by 1×1 convolutions, SD 2 and XL by linear layers: the same arithmetic, other shapes in the file.
    enum Projection: Sendable {
        case linear(Linear)
        case convolution(Conv2d)

        func callAsFunction(_ x: Tensor) -> Tensor {
            switch self {
            case .linear(let layer): layer(x)
            case .convolution(let layer): layer(x)
            }
        }
    }

    init(_ w: Weights, level: UNet.Configuration.Level, groups: Int, isLinear: Bool) throws(CheckpointError) {
        let width = level.channels
        func projection(_ w: Weights) throws(CheckpointError) -> Projection {
            isLinear ? .linear(try Linear(w, width, width)) : .convolution(try Conv2d(w, width, width, kernel: 1))
        }
        norm = try GroupNorm(w["norm"], groups: groups, channels: width, epsilon: 1e-6)
        projectIn = try projection(w["proj_in"])
        var blocks: [TransformerBlock] = []
        for i in 0..<level.transformerLayers { blocks.append(try TransformerBlock(w["transformer_blocks"][i], width: width, level: level)) }
        self.blocks = blocks
        projectOut = try projection(w["proj_out"])
    }

    /// - Parameters:
    ///   - x: `[B, H, W, C]`.
    ///   - context: `[B, S, Dc]`.
    /// - Returns: `[B, H, W, C]`.
    func callAsFunction(_ x: Tensor, context: Tensor, cache: ContextCache?) -> Tensor {
        let (batch, height, width, channels) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        var tokens = projectIn(norm(x)).reshaped([batch, height * width, channels])
        for block in blocks { tokens = block(tokens, context: context, cache: cache) }
        return projectOut(tokens.reshaped([batch, height, width, channels])) + x
    }
}
