import Adapters
import Checkpoints
import Foundation
import Neural
import TensorCore
import TestSupport
import Testing

/// Float32 through about twenty layers, computed in two orders.
private let modelTolerance = 5e-5

/// Products of some hundred float32 terms, in another order than PyTorch's.
private let gradientTolerance = 2e-5

@Suite("AdapterNetwork") struct AdapterNetworkTests {
    static let specifications: [NetworkSpecification] = [
        NetworkSpecification(.standard, LoRASpecification(rank: 2, alpha: 1, textEncoder: .all)),
        NetworkSpecification(.locon, LoRASpecification(rank: 4, alpha: 2, textEncoder: .all), convolution: .init(rank: 2, alpha: 1)),
        NetworkSpecification(.loha, LoRASpecification(rank: 2, alpha: 1, textEncoder: .all), convolution: .init(rank: 3)),
        NetworkSpecification(.loha, LoRASpecification(rank: 2, textEncoder: .all), convolution: .init(rank: 3), usesCores: true),
        NetworkSpecification(.lokr(), LoRASpecification(rank: 2, alpha: 1, textEncoder: .all), convolution: .init(rank: 1)),
        NetworkSpecification(.lokr(factor: 4, decomposesBoth: true), LoRASpecification(rank: 1, alpha: 1), convolution: .init(rank: 1), usesCores: true),
        NetworkSpecification(.dylora(unit: 2), LoRASpecification(rank: 4, alpha: 2, textEncoder: .all)),
        NetworkSpecification(.dylora(unit: 1, rule: .prefix), LoRASpecification(rank: 4)),
    ]

    private func fresh(_ specification: NetworkSpecification, _ model: AdaptableModel, seed: UInt64 = 1) throws -> AdapterNetwork {
        var generator = TorchGenerator(seed: seed)
        return try AdapterNetwork(specification, model: model, generator: &generator)
    }

    /// Non-zero values for every parameter, as training would leave them.
    private func fill(_ network: AdapterNetwork) {
        for (index, adapter) in network.adapters.enumerated() {
            adapter.set(adapter.parameters.enumerated().map { .testNormal($1.value.shape, seed: UInt64(8 * index + $0 + 1), scale: 0.3) }, alpha: nil)
        }
    }

    @Test("a fresh network of any kind changes nothing and can learn", arguments: specifications)
    func zeroAtStart(specification: NetworkSpecification) throws {
        let model = try TinyModel(), base = try model.output()
        let network = try fresh(specification, model.adaptable)
        network.attach()
        #expect(try model.output().array == base.array)
        let loss = model.unet(try TinyModel.expected("latents"), timesteps: [3, 741], context: model.text.encode(TinyModel.ids)).square().mean()
        let found = gradients(of: loss, for: network.parameters.map(\.tensor))
        for adapter in network.adapters {
            let reached = zip(network.parameters, found).contains { parameter, gradient in
                adapter.parameters.contains { $0 === parameter } && gradient.array.contains { $0 != 0 }
            }
            #expect(reached, "\(adapter.name)")
        }
    }

    @Test("LoCon reaches the residual blocks with its own rank and alpha") func convolutions() throws {
        let model = try TinyModel(), network = try fresh(Self.specifications[1], model.adaptable)
        let plain = try fresh(Self.specifications[0], model.adaptable)
        let added = network.adapters.filter { adapter in !plain.adapters.contains { $0.name == adapter.name } }
        #expect(!added.isEmpty && added.allSatisfy { $0.name.contains("resnets") || $0.name.contains("samplers") })
        for case let module as any LoRAModule in network.adapters {
            #expect(module.layer.kind.kernel == 3 ? module.rank == 2 && module.alpha == 1 : module.rank == 4 && module.alpha == 2, "\(module.name)")
        }
        #expect(added.contains { $0.name.hasSuffix("time_emb_proj") } && added.contains { $0.name.hasSuffix("downsamplers_0_conv") })
    }

    @Test("initial values are LyCORIS' and follow the seed") func initialValues() throws {
        let model = try TinyModel(), loha = try fresh(Self.specifications[2], model.adaptable)
        func values(_ ending: String) -> [Float] { loha.parameters.filter { $0.name.hasSuffix(ending) }.flatMap(\.value.array) }
        func deviation(_ v: [Float]) -> Float { (v.reduce(0) { $0 + $1 * $1 } / Float(v.count)).squareRoot() }
        // Some thousand draws: the deviation is met within a few per cent.
        #expect(abs(deviation(values("w1_a")) - 0.1) < 0.01 && abs(deviation(values("w1_b")) - 1) < 0.1 && abs(deviation(values("w2_b")) - 1) < 0.1)
        #expect(values("w2_a").allSatisfy { $0 == 0 })
        let again = try fresh(Self.specifications[2], model.adaptable), other = try fresh(Self.specifications[2], model.adaptable, seed: 2)
        #expect(again.snapshot() == loha.snapshot())
        #expect(other.parameters[0].value.array != loha.parameters[0].value.array)
        let lokr = try fresh(Self.specifications[4], model.adaptable)
        for parameter in lokr.parameters where parameter.name.hasSuffix("lokr_w1") {
            let bound = 1 / Float(parameter.value.shape[1]).squareRoot()
            #expect(parameter.value.array.allSatisfy { abs($0) <= bound })
        }
        #expect(lokr.parameters.contains { $0.name.hasSuffix("w2_a") } && lokr.parameters.contains { $0.name.hasSuffix("lokr_w2") })
    }

    @Test("a written network computes the same when it is read, in single and half precision", arguments: specifications)
    func outAndIn(specification: NetworkSpecification) throws {
        let model = try TinyModel(), folder = try TemporaryFolder(), network = try fresh(specification, model.adaptable)
        fill(network)
        network.attach()
        let output = try model.output()
        network.detach()
        for (precision, tolerance) in [(DType.float32, modelTolerance), (.float16, 2e-2)] {
            try network.write(to: folder.file("out.safetensors"), precision: precision)
            let read = try AdapterNetwork(AdapterFile(path: folder.file("out.safetensors")), model: model.adaptable)
            #expect(read.adapters.map(\.name) == network.adapters.map(\.name))
            read.attach()
            expectClose(try model.output(), output, relative: tolerance)
            read.detach()
        }
    }

    @Test("SDXL's networks carry Kohya's names in all three parts") func xlNames() throws {
        let network = try fresh(NetworkSpecification(.locon, LoRASpecification(rank: 1, textEncoder: .all)), TinyXL().adaptable)
        let source = try SafetensorsFile(path: TinyModel.path("kinds/xl.safetensors"))
        #expect(Set(network.tensors().map(\.name)) == Set(source.keys))
        #expect(AdapterPart.allCases.allSatisfy { part in network.adapters.contains { $0.part == part } })
    }

    @Test("metadata names the kind, the sizes and the family", arguments: [
        ("sd_v1", "stable-diffusion-v1/lora", "False"), ("sd_v2", "stable-diffusion-v2-512/lora", "True"), ("sd_v2_v", "stable-diffusion-v2-768-v/lora", "True"),
        ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora", "False"),
    ])
    func metadata(version: String, architecture: String, isV2: String) throws {
        let specification = NetworkSpecification(.lokr(factor: 8), LoRASpecification(rank: 4, alpha: 2), convolution: .init(rank: 2, alpha: 1))
        let found = specification.metadata(baseVersion: version)
        #expect(found["ss_base_model_version"] == version && found["modelspec.architecture"] == architecture && found["ss_v2"] == isV2)
        #expect(found["ss_network_module"] == "lycoris.kohya" && found["ss_network_dim"] == "4" && found["ss_network_alpha"] == "2.0")
        #expect(found["ss_network_args"] == #"{"algo": "lokr", "factor": "8", "decompose_both": "False", "conv_dim": "2", "conv_alpha": "1.0"}"#)
        #expect(NetworkSpecification().metadata(baseVersion: version)["ss_network_args"] == nil)
    }

    @Test("sizes out of range are refused") func invalid() throws {
        let model = try TinyModel().adaptable
        #expect(throws: AdapterError.unitDoesNotDivide(unit: 3, rank: 8)) { try fresh(NetworkSpecification(.dylora(unit: 3)), model) }
        #expect(throws: AdapterError.unitDoesNotDivide(unit: 0, rank: 8)) { try fresh(NetworkSpecification(.dylora(unit: 0)), model) }
        #expect(throws: AdapterError.rankOutOfRange(2000, allowed: 1...1024, nearest: 1024)) { try fresh(NetworkSpecification(.loha, convolution: .init(rank: 2000)), model) }
        #expect(throws: AdapterError.noTargets) { try fresh(NetworkSpecification(.loha, LoRASpecification(unet: .none)), model) }
    }

    @Test("LoKr's sizes are LyCORIS' factorizations", arguments: [
        (127, -1, 1, 127), (128, -1, 8, 16), (128, 2, 2, 64), (250, 4, 2, 125), (250, 8, 5, 50), (360, 16, 15, 24), (1024, 8, 8, 128), (1, -1, 1, 1), (8, 16, 2, 4),
    ])
    func factorization(dimension: Int, factor: Int, m: Int, n: Int) {
        let (first, second) = LoKr.factorization(dimension, factor)
        #expect(first == m && second == n)
    }

    @Test("a reference is a path with no, one or two strengths", arguments: [
        ("a.safetensors", "a.safetensors", 1, 1), ("a.safetensors:0.8", "a.safetensors", 0.8, 0.8), ("dir/b:0.5:-0.3", "dir/b", 0.5, -0.3), ("c:x:0:1", "c:x", 0, 1), ("c:1:2:3", "c:1", 2, 3),
    ] as [(String, String, Float, Float)])
    func references(text: String, path: String, unet: Float, textEncoder: Float) throws {
        let reference = try AdapterReference(text)
        #expect(reference.path == path && reference.unet == unet && reference.textEncoder == textEncoder)
        for bad in ["", ":1", "a:inf"] { #expect(throws: AdapterError.invalidReference(bad)) { try AdapterReference(bad) } }
    }

    // MARK: Gradients against lycoris-lora's

    /// A model of one layer.
    /// - Parameter scope: module path above it, for rules that go by paths.
    private func layer(_ name: String, _ golden: SafetensorsFile, scope: String = "") throws -> (AdaptableModel, any AdaptableLayer) {
        let folder = try TemporaryFolder(), shape = try golden.entry("\(name).weight").shape
        try SafetensorsWriter.write(["weight", "bias"].map { ("\(scope)\(name).\($0)", try golden.tensor("\(name).\($0)")) }, to: folder.file("base.safetensors"))
        let weights = Weights(try SafetensorsFile(path: folder.file("base.safetensors"))), own = weights[scope + name]
        let layer: any AdaptableLayer = shape.count == 2
            ? try Linear(own, shape[1], shape[0]) : try Conv2d(own, shape[1], shape[0], kernel: 3, stride: 2, padding: Padding(1))
        return (AdaptableModel(unet: weights.registry), layer)
    }

    /// Compares output and gradients of the layer under `network` with the fixture's.
    private func compare(_ name: String, _ layer: any AdaptableLayer, _ network: AdapterNetwork, _ golden: SafetensorsFile) throws {
        network.attach()
        let x = try golden.tensor("\(name).x").trackingGradient()
        let y = (layer as? Linear)?(x) ?? (layer as! Conv2d)(x)
        expectClose(y, try golden.tensor("\(name).y"), relative: gradientTolerance, name)
        let parameters = network.parameters
        let found = gradients(of: y, seed: try golden.tensor("\(name).seed"), for: [x] + parameters.map(\.tensor))
        expectClose(found[0], try golden.tensor("\(name).dx"), relative: gradientTolerance, "\(name).dx")
        for (parameter, gradient) in zip(parameters, found.dropFirst()) {
            let ending = String(parameter.name.split(separator: ".", maxSplits: 1)[1])
            let expected = try golden.tensor("\(name).grad.\(ending)")
            expectClose(gradient, expected.reshaped(gradient.shape), relative: gradientTolerance, parameter.name)
        }
    }

    @Test("output and gradients of every formula agree with lycoris-lora", arguments: ["locon", "tucker", "loha", "lohacore", "lokr", "lokrboth", "lokrcore", "dora"], ["linear", "conv"])
    func gradientsAgree(kind: String, place: String) throws {
        let golden = try SafetensorsFile(path: TinyModel.path("kinds/gradients.safetensors")), folder = try TemporaryFolder(), name = "\(kind)_\(place)"
        let all = try SafetensorsFile(path: TinyModel.path("kinds/gradient_modules.safetensors"))
        let own = try all.keys.filter { $0.hasPrefix("lora_unet_\(name).") }.map { (name: $0, tensor: try all.tensor($0)) }
        try SafetensorsWriter.write(own, to: folder.file("own.safetensors"))
        let (model, layer) = try layer(name, golden)
        try compare(name, layer, AdapterNetwork(AdapterFile(path: folder.file("own.safetensors")), model: model, trainable: true), golden)
    }

    @Test("a block of DyLoRA's prefix rule computes and learns as lycoris-lora's", arguments: ["linear", "conv"])
    func dyLoRA(place: String) throws {
        let golden = try SafetensorsFile(path: TinyModel.path("kinds/gradients.safetensors")), name = "dylora_\(place)"
        let (model, layer) = try layer(name, golden, scope: "attentions.resnets.")
        var generator = TorchGenerator(seed: 1)
        let specification = NetworkSpecification(.dylora(unit: 2, rule: .prefix), LoRASpecification(rank: 4, alpha: 1), convolution: .init(rank: 4, alpha: 1))
        let network = try AdapterNetwork(specification, model: model, generator: &generator), module = try #require(network.adapters.first as? DyLoRA)
        let stored = try ["down", "up"].map { try golden.tensor("\(name).lora_\($0).weight") }
        module.set(zip(module.parameters, stored).map { $1.reshaped($0.value.shape) }, alpha: nil)
        module.trainedBlock = 1
        try compare(name, layer, network, golden)
    }

    @Test("Kohya's rule applies the whole product at √(r / ranks so far) and trains one block") func wholeRule() throws {
        let model = try TinyModel(), network = try fresh(Self.specifications[6], model.adaptable)
        fill(network)
        let module = try #require(network.adapters.last as? DyLoRA), inputs = module.layer.kind.inputs
        let x = module.layer.kind.isLinearLayer ? Tensor.testNormal([3, inputs], seed: 1) : Tensor.testNormal([1, 4, 4, inputs], seed: 1)
        func delta(_ x: Tensor) -> Tensor { module.added(x, to: .zeros(x.shape.dropLast() + [module.layer.kind.outputs])) }
        let full = delta(x)
        var generator = TorchGenerator(seed: 1)
        network.drawBlocks(&generator)
        module.trainedBlock = 0
        let y = delta(x)
        expectClose(y, (full * Float(2).squareRoot()).detached(), relative: gradientTolerance)              // rank 4, unit 2, first block
        let found = gradients(of: y.sum(), for: [module.down.tensor, module.up.tensor])
        let width = found[0].count / 4, down = found[0].array, up = found[1].array
        #expect(down.prefix(2 * width).contains { $0 != 0 } && down.suffix(2 * width).allSatisfy { $0 == 0 })
        #expect(up.indices.allSatisfy { $0 % 4 < 2 || up[$0] == 0 } && up.contains { $0 != 0 })
        network.applyAllBlocks()
        #expect(delta(x).array == full.array)
    }

    /// Writes what `make_adapter_kinds.py check` reads with lycoris-lora and diffusers.
    @Test("files for the other libraries", .enabled(if: ProcessInfo.processInfo.environment["LORALAB_ADAPTER_CHECK"] != nil))
    func forOthers() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["LORALAB_ADAPTER_CHECK"]), model = try TinyModel(), xl = try TinyXL()
        func write(_ name: String, _ network: AdapterNetwork, version: String, _ output: () throws -> Tensor) throws {
            fill(network)
            network.attach()
            try SafetensorsWriter.write([("output", output())], to: "\(folder)/outputs_\(name).safetensors")
            network.detach()
            try network.write(to: "\(folder)/\(name).safetensors", metadata: network.specification?.metadata(baseVersion: version) ?? [:])
        }
        for (index, specification) in Self.specifications.enumerated() {
            let prefix = index < 2 ? ["diffusers", "lycoris"] : ["lycoris"]
            for library in prefix { try write("\(library)_\(index)", fresh(specification, model.adaptable), version: "sd_v1", model.output) }
        }
        try write("xl", fresh(NetworkSpecification(.locon, LoRASpecification(rank: 2, alpha: 1, textEncoder: .all)), xl.adaptable), version: "sdxl_base_v1-0", xl.output)
    }
}

extension AdaptableKind {
    fileprivate var isLinearLayer: Bool {
        if case .linear = self { true } else { false }
    }
}
