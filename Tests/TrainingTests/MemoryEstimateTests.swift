import Datasets
import TensorCore
import Testing
import Training

@Suite("MemoryEstimate") struct MemoryEstimateTests {
    @Test("more pictures, larger ones and a backward pass that keeps everything ask for more") func order() throws {
        let model = try TinyStudio.makeModel()
        func total(batch: Int = 1, area: Int = 64, levels: Int = 0) -> Int {
            MemoryEstimate(model, parameters: 1000, batchSize: batch, area: area, recomputedLevels: levels, trainsText: false).total
        }
        #expect(total(batch: 2) > total() && total(area: 256) > total() && total(levels: 1) < total() && total(levels: 2) < total(levels: 1))
        #expect(total() > model.unet.registry.byteCount)
    }

    @Test("a run that does not fit is refused with the number and what would make it fit, and nothing changes") func refused() throws {
        let studio = try TinyStudio(), trainer = try studio.trainer { $0.batchSize = 4 }
        let needed = trainer.memoryEstimate.total
        let error = #expect(throws: TrainingError.self) { try trainer.requireMemory(within: needed - 1) }
        guard case .doesNotFit(let told, _, let ways)? = error else { Issue.record("\(String(describing: error))"); return }
        #expect(told == needed && ways.first?.contains("--gradient_checkpointing") == true)
        try trainer.requireMemory(within: needed)
        #expect(trainer.position.step == 0)
    }

    @Test("as many levels are recomputed as a limit on memory needs, with the same numbers") func limited() throws {
        let studio = try TinyStudio(), free = try studio.trainer { $0.batchSize = 4 }
        let whole = free.memoryEstimate.total
        let limited = try studio.trainer { ($0.batchSize, $0.memoryLimit) = (4, whole - 1) }
        #expect(free.recomputedLevels == 0 && limited.recomputedLevels == 1 && limited.memoryEstimate.total < whole)
        try free.run()
        try limited.run()
        #expect(limited.model.unet.recomputedLevels == 1)
        #expect(zip(free.bits, limited.bits).allSatisfy { abs(Float(bitPattern: $0) - Float(bitPattern: $1)) <= 1e-5 })
        let tight = try studio.trainer { $0.memoryLimit = 1 << 20 }
        #expect(throws: TrainingError.self) { try tight.run() }
    }

    @Test("the system tells what it has left and what the process holds") func system() async {
        // In a process of its own: beside other tests memory would come and go between the readings.
        await #expect(processExitsWith: .success) {
            guard let available = SystemMemory.available else { preconditionFailure("the system did not tell what is free") }
            let resident = SystemMemory.resident
            precondition(available > 1 << 20 && resident > 1 << 20 && SystemMemory.peak >= resident, "\(resident) bytes of \(SystemMemory.peak)")
        }
    }

    @Test("a program goes on when its pages were let go of, in less memory") func programPages() async {
        await #expect(processExitsWith: .success) {
            let before = SystemMemory.resident
            SystemMemory.releaseProgramPages()
            let after = SystemMemory.resident
            precondition(after < before - (4 << 20), "\(before) bytes before, \(after) after")
            precondition(Tensor.ones([64, 64]).linear(.ones([64, 64])).array.allSatisfy { $0 == 64 })
        }
    }
}
