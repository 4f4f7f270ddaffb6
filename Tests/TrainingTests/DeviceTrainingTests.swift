import Adapters
import Checkpoints
import Diffusion
import Foundation
import TensorCore
import TestSupport
import Testing
import Training

/// Training and drawing on a device whose memory the host cannot follow: nothing above TensorCore touches raw memory, and the numbers are
/// the processor's.
@Suite("Training on a second device") struct DeviceTrainingTests {
    private static func trainer(
        _ studio: TinyStudio, on device: (any Device)? = nil, heldOut: Bool = false, _ change: (inout TrainingConfiguration) -> Void = { _ in }
    ) throws -> Trainer {
        let trainer = try studio.trainer(heldOut: heldOut, change)
        if let device { trainer.model.move(to: device) }
        return trainer
    }

    @Test("losses, norms and every trained number are the processor's", arguments: TrainerTests.kinds.indices)
    func sameNumbers(kind: Int) throws {
        let studio = try TinyStudio(), mirror = MirrorDevice(), change = TrainerTests.kinds[kind].change
        let here = try Self.trainer(studio, heldOut: true, change), there = try Self.trainer(studio, on: mirror, heldOut: true, change)
        let expected = try here.run(), found = try there.run()
        #expect(found.steps.map(\.loss) == expected.steps.map(\.loss) && found.steps.map(\.gradientNorm) == expected.steps.map(\.gradientNorm))
        #expect(found.epochs.map(\.heldOutLoss) == expected.epochs.map(\.heldOutLoss))
        #expect(there.bits == here.bits && there.network.parameters.allSatisfy { $0.value.device === mirror })
        try here.saveAdapter(to: studio.file("here.safetensors"))
        try there.saveAdapter(to: studio.file("there.safetensors"))
        #expect(try FileHash.tensors(path: studio.file("here.safetensors")) == FileHash.tensors(path: studio.file("there.safetensors")))
    }

    @Test("ten steps of every kind of adapter", arguments: ["standard", "locon", "loha", "lokr", "dylora"])
    func kinds(_ name: String) throws {
        let studio = try TinyStudio()
        func change(_ c: inout TrainingConfiguration) {
            c.maximumSteps = 10
            c.network = switch name {
            case "locon": .locon
            case "loha": .loha
            case "lokr": .lokr()
            case "dylora": .dylora(unit: 2, rule: .whole)
            default: .standard
            }
        }
        let here = try Self.trainer(studio, change), there = try Self.trainer(studio, on: MirrorDevice(), change)
        let expected = try here.run().steps, found = try there.run().steps
        #expect(found.count == 10 && found.map(\.loss) == expected.map(\.loss) && there.bits == here.bits)
    }

    @Test("a step reads once, whatever is accumulated", arguments: [1, 2])
    func reads(accumulation: Int) throws {
        let studio = try TinyStudio(), mirror = MirrorDevice()
        let trainer = try Self.trainer(studio, on: mirror) { ($0.epochs, $0.accumulation, $0.textEncoderTargets) = (4, accumulation, .all) }
        var counts: [Int] = []
        try trainer.train { if case .stepped = $0 { counts.append(mirror.count.downloads) } }
        #expect(counts.count >= 8)
        for (before, after) in zip(counts, counts.dropFirst()) { #expect(after == before + 1) }
    }

    @Test("a state that was written on one device goes on on another")
    func resumes() throws {
        let studio = try TinyStudio(), whole = try Self.trainer(studio), path = studio.file("state.safetensors")
        try whole.run()
        let broken = try Self.trainer(studio, on: MirrorDevice())
        try broken.run(stoppingAfter: 3)
        try broken.saveState(to: path)
        let model = try TinyStudio.makeModel()
        model.move(to: MirrorDevice())
        for model in [try TinyStudio.makeModel(), model] {
            let resumed = try Trainer(resuming: path, model: model, dataset: studio.dataset)
            try resumed.run()
            #expect(resumed.bits == whole.bits)
        }
    }

    @Test("a change of rank, and going back to an epoch, stay on the device")
    func resizing() throws {
        let studio = try TinyStudio(), mirror = MirrorDevice(), here = try Self.trainer(studio), there = try Self.trainer(studio, on: mirror)
        for trainer in [here, there] {
            try trainer.run()
            for rank in [6, 2] { try trainer.configure(TinyStudio.configuration { $0.rank = rank }) }
            try trainer.run()
            trainer.network.restore(trainer.keptEpochs[0].snapshot)
        }
        #expect(there.bits == here.bits && there.network.parameters.allSatisfy { $0.value.device === mirror })
    }

    @Test("a device that fails stops the run with its failure, the adapter as it was", arguments: [
        DeviceFailure.outOfMemory(device: "mirror", bytes: 1 << 20, inUse: 5), .lost(device: "mirror", reason: "an illegal address"),
    ])
    func failure(_ failure: DeviceFailure) throws {
        let studio = try TinyStudio(), mirror = MirrorDevice(), trainer = try Self.trainer(studio, on: mirror)
        try trainer.run(stoppingAfter: 2)
        let before = trainer.bits
        #expect(throws: TrainingError.deviceFailed(failure, step: 4)) {
            try trainer.train { if case .stepped = $0 { mirror.fail(failure) } }
        }
        #expect(trainer.position.step == 3 && "\(TrainingError.deviceFailed(failure, step: 4))".contains(failure.description))
        guard case .outOfMemory = failure else {
            #expect(throws: TrainingError.deviceFailed(failure, step: 4)) { try trainer.run() }
            return
        }
        #expect(trainer.bits != before && trainer.network.parameters.allSatisfy(\.value.isFinite))
        #expect(try trainer.run().steps.last?.loss.isFinite == true && trainer.isRunDone)
    }

    @Test("a device without room for a step fails and does not end the process")
    func fullDevice() throws {
        let studio = try TinyStudio(), roomy = MirrorDevice(), trainer = try Self.trainer(studio, on: roomy)
        try trainer.run(stoppingAfter: 1)
        let held = roomy.pool.bytesInUse, peak = roomy.pool.peakBytes
        let mirror = MirrorDevice(bytes: (held + peak) / 2), cramped = try Self.trainer(studio, on: mirror)
        let start = cramped.network.parameters.map(\.value.bits)
        #expect { try cramped.run() } throws: { error in
            guard case TrainingError.deviceFailed(.outOfMemory(device: "mirror", _, _), step: 1) = error else { return false }
            return true
        }
        #expect(mirror.failure == nil && cramped.network.parameters.map(\.value.bits) == start)
    }

    @Test("pictures are the processor's, decoded whole and in tiles")
    func drawing() throws {
        let here = try TinyStudio.makeModel(), there = try TinyStudio.makeModel(), mirror = MirrorDevice()
        there.move(to: mirror)
        for sampler in [SamplerKind.eulerAncestral, .dpmSolverMultistepSDE, .uniPC, .kdpm2Ancestral, .lcm] {
            var prompt = SamplePrompt("a (cube:1.3)", width: 24, height: 16, seed: 5, steps: 3)
            prompt.sampler = sampler
            #expect(try ImageGenerator(there).generate([prompt]).map(\.pixels) == ImageGenerator(here).generate([prompt]).map(\.pixels))
        }
        let latents = Tensor.testNormal([1, 12, 20, 4], seed: 3)
        #expect(there.autoencoder.decode(latents.moved(to: mirror), tileSide: 8).bits == here.autoencoder.decode(latents, tileSide: 8).bits)
        mirror.fail(.lost(device: "mirror", reason: "unplugged"))
        #expect(throws: GenerationError.deviceFailed(.lost(device: "mirror", reason: "unplugged"))) {
            try ImageGenerator(there).generate([SamplePrompt("cube", width: 16, height: 16, seed: 1, steps: 1)])
        }
    }
}
