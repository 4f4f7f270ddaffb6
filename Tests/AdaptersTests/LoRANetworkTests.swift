import Adapters
import Checkpoints
import Neural
import TensorCore
import TestSupport
import Testing

/// Float32 through about twenty layers, computed in another order than PyTorch's.
private let modelTolerance = 2e-5

@Suite("LoRA networks") struct LoRANetworkTests {
    @Test("Kohya's rules name the layers that sd-scripts adapts") func targets() throws {
        let model = try TinyModel()
        let network = try model.fresh(LoRASpecification(rank: 2, textEncoder: .all))
        let names = Set(network.modules.map(\.name))
        #expect(names == Set(try model.network("kohya.safetensors").adapters.map(\.name)))
        #expect(network.adapters(ofUNet: true).count == 48 && network.adapters(ofUNet: false).count == 12)
        let attention = try model.fresh(LoRASpecification(rank: 2, unet: .attention))
        #expect(attention.modules.count == 32 && attention.modules.allSatisfy { $0.name.contains("_attn") })
    }

    @Test("before the first step the adapted model is the base model") func zeroAtStart() throws {
        let model = try TinyModel()
        let base = try model.output()
        let network = try model.fresh(LoRASpecification(rank: 4, textEncoder: .all))
        network.attach()
        #expect(try model.output().array == base.array)
        expectClose(base, try TinyModel.expected("base"), relative: modelTolerance)
    }

    @Test("A is uniform within one over the root of the fan-in, the same for the same seed") func initialValues() throws {
        let model = try TinyModel()
        let a = try model.fresh(LoRASpecification(rank: 3)), b = try model.fresh(LoRASpecification(rank: 3)), c = try model.fresh(LoRASpecification(rank: 3), seed: 2)
        for (x, (y, z)) in zip(a.modules, zip(b.modules, c.modules)) {
            let bound = 1 / Float(x.layer.kind.inputs).squareRoot()
            #expect(x.down.value.array.allSatisfy { abs($0) <= bound } && x.down.value.array.contains { abs($0) > bound / 2 })
            #expect(x.down.value.array == y.down.value.array && x.down.value.array != z.down.value.array)
            #expect(x.up.value.array.allSatisfy { $0 == 0 } && x.alpha == 3)
        }
    }

    @Test("Kohya's and PEFT's files compute what diffusers computes with them", arguments: ["kohya", "peft"])
    func followsDiffusers(name: String) throws {
        let model = try TinyModel()
        let base = try model.output()
        let network = try model.network("\(name).safetensors")
        network.attach()
        expectClose(try model.output(), try TinyModel.expected(name), relative: modelTolerance)
        network.detach()
        #expect(try model.output().array == base.array)
    }

    @Test("merged equals applied") func merging() throws {
        let model = try TinyModel()
        let network = try model.network("kohya.safetensors")
        network.setMultiplier(unet: 0.7, textEncoder: 0.4)
        network.attach()
        let applied = try model.output()
        network.detach()
        network.merge()
        expectClose(try model.output(), applied, relative: modelTolerance)
    }

    @Test("strengths scale each part on its own, and 0 takes it out") func multipliers() throws {
        let model = try TinyModel()
        let base = try model.output(), network = try model.network("kohya.safetensors")
        network.attach()
        let full = try model.output()
        network.setMultiplier(unet: 0, textEncoder: 0)
        #expect(try model.output().array == base.array)
        network.setMultiplier(unet: 1, textEncoder: 0)
        let unetOnly = try model.output()
        #expect(unetOnly.array != full.array && unetOnly.array != base.array)
        let inside = try network.withMultiplier(unet: 1, textEncoder: 1) { try model.output().array }
        #expect(inside == full.array)
        #expect(try model.output().array == unetOnly.array)
    }

    @Test("attaching twice counts once") func attachingTwice() throws {
        let model = try TinyModel()
        let network = try model.network("kohya.safetensors")
        network.attach()
        let once = try model.output()
        network.attach()
        #expect(try model.output().array == once.array)
    }

    @Test("a snapshot brings back what it saw, other ranks included") func snapshots() throws {
        let model = try TinyModel()
        let network = try model.network("kohya.safetensors")
        network.attach()
        let before = network.snapshot(), output = try model.output()
        var generator = TorchGenerator(seed: 3)
        try network.resize(to: 2, generator: &generator)
        for module in network.modules { module.up.value = .full(0.1, module.up.value.shape) }
        #expect(try model.output().array != output.array)
        let inside = try network.withSnapshot(before) { try model.output().array }
        #expect(inside == output.array)
        #expect(network.size?.rank == 2)
        network.restore(before)
        #expect(try model.output().array == output.array && network.size == .init(rank: 4, alpha: 2))
    }

    @Test("a larger rank changes nothing at first, and its new directions can learn", arguments: [nil, 16, 1] as [Float?])
    func growing(alpha: Float?) throws {
        let model = try TinyModel()
        let network = try model.network("kohya.safetensors")
        network.attach()
        let before = try model.output()
        var generator = TorchGenerator(seed: 3)
        let reports = try network.resize(to: 8, alpha: alpha, generator: &generator)
        expectClose(try model.output(), before, relative: modelTolerance)
        #expect(network.size == .init(rank: 8, alpha: alpha ?? 4) && reports.allSatisfy { $0.sumRetained == 1 })
        let down = network.modules[0].down.value.array
        #expect(down.suffix(down.count / 2).contains { $0 != 0 })
    }

    @Test("a smaller rank keeps the best approximation, and a rank that suffices keeps everything") func shrinking() throws {
        let model = try TinyModel()
        let network = try model.network("kohya.safetensors")
        let module = network.modules[20]
        let full = module.weightDelta(), values = module.singularValues()
        var generator = TorchGenerator(seed: 3)
        try network.resize(to: 8, generator: &generator)
        let back = try network.resize(to: 4, generator: &generator)
        expectClose(module.weightDelta(), full, relative: 1e-5)
        #expect(back.allSatisfy { $0.frobeniusRetained > 0.99999 })
        let reports = try network.resize(to: 2, generator: &generator)
        // Eckart and Young: the squared error is the sum of the squares of the values that were dropped.
        let error = zip(module.weightDelta().array, full.array).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let dropped = values[2] * values[2] + values[3] * values[3]
        #expect(abs(error - dropped) < 1e-4 * dropped)
        let report = reports[20], energy = values.reduce(0) { $0 + $1 * $1 }
        #expect(abs(report.frobeniusRetained - ((energy - dropped) / energy).squareRoot()) < 1e-5)
        #expect(abs(report.sumRetained - (values[0] + values[1]) / values.reduce(0, +)) < 1e-5)
    }

    @Test("ranks and alphas out of range are refused, and nothing changes") func invalid() throws {
        let model = try TinyModel()
        #expect(throws: AdapterError.rankOutOfRange(0, allowed: 1...1024, nearest: 1)) { try model.fresh(LoRASpecification(rank: 0)) }
        #expect(throws: AdapterError.rankOutOfRange(5000, allowed: 1...1024, nearest: 1024)) { try model.fresh(LoRASpecification(rank: 5000)) }
        #expect(throws: AdapterError.noTargets) { try model.fresh(LoRASpecification(unet: .none)) }
        #expect(throws: AdapterError.invalidAlpha(-1)) { try model.fresh(LoRASpecification(alpha: -1)) }
        let network = try model.network("kohya.safetensors"), before = network.modules[0].down.value.array
        var generator = TorchGenerator(seed: 1)
        #expect(throws: AdapterError.self) { try network.resize(to: 0, generator: &generator) }
        #expect(network.modules[0].down.value.array == before && generator == TorchGenerator(seed: 1))
    }

    @Test("an extended network keeps its modules and gets the missing ones") func extending() throws {
        let model = try TinyModel()
        let network = try model.fresh(LoRASpecification(rank: 2, unet: .attention))
        var generator = TorchGenerator(seed: 8)
        let larger = try network.extended(
            .init(.standard, LoRASpecification(rank: 2, textEncoder: .all)), model: model.adaptable, generator: &generator)
        #expect(larger.modules.count == 60)
        for module in network.modules { #expect(larger.modules.contains { $0 === module }) }
        let same = try larger.extended(.init(.standard, LoRASpecification(rank: 2)), model: model.adaptable, generator: &generator)
        #expect(same === larger)
    }

    @Test("gradients reach both factors of every module and nothing else") func gradientsReach() throws {
        let model = try TinyModel()
        let network = try model.network("kohya.safetensors")
        network.attach()
        let latents = try TinyModel.expected("latents")
        let loss = model.unet(latents, timesteps: [3, 741], context: model.text.encode(TinyModel.ids)).square().mean()
        let found = gradients(of: loss, for: network.parameters.map(\.tensor))
        #expect(found.count == 120 && found.allSatisfy { $0.array.contains { $0 != 0 } })
        #expect(model.unet.registry.parameters.allSatisfy { !$0.parameter.tensor.requiresGradient })
    }
}
