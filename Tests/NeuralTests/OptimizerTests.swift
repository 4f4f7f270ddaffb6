import Checkpoints
import Foundation
import Neural
import TensorCore
import TestSupport
import Testing

/// Numbers by formula, as `Tests/Fixtures/formula.py` makes them.
func formula(_ key: String, _ shape: [Int], scale: Float = 1) -> Tensor {
    let stream = CounterStream(seed: 0, key: key)
    return Tensor(shape: shape) { values in
        for i in values.indices { values[i] = (2 * stream.uniform(at: i) - 1) * scale }
    }
}

func fixturePath(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/neural/\(name)").path
}

func largestDifference(_ a: Tensor, _ b: Tensor) -> Float {
    a.shape == b.shape ? zip(a.array, b.array).map { abs($0 - $1) }.max() ?? 0 : .infinity
}

let shapes = [("a", [3, 5]), ("b", [7]), ("c", [2, 2, 3])]

@Suite struct AdamWTests {
    static func step(_ optimizer: inout AdamW, _ parameters: [Parameter], _ index: Int) {
        let gradients = shapes.map { formula("gradient.\(index).\($0.0)", $0.1) }
        optimizer.step(parameters, gradients: gradients, learningRate: 0.01 * Float(index + 1))
    }

    static func start() -> [Parameter] { shapes.map { Parameter($0.0, formula("value.\($0.0)", $0.1), trainable: true) } }

    @Test("parameters and state after one and five steps are torch's", arguments: ["default", "other"])
    func torch(_ name: String) throws {
        let golden = try SafetensorsFile(path: fixturePath("adamw.safetensors"))
        var optimizer = name == "default" ? AdamW() : AdamW(beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1)
        let parameters = Self.start()
        for index in 0..<5 {
            Self.step(&optimizer, parameters, index)
            guard index == 0 || index == 4 else { continue }
            for parameter in parameters {
                #expect(largestDifference(parameter.value, try golden.tensor("\(name).\(index + 1).\(parameter.name)")) < 1e-6)
            }
        }
        for (key, tensor) in optimizer.state where !key.hasSuffix(".step") {
            #expect(largestDifference(tensor, try golden.tensor("\(name).state.\(key)")) < 1e-6)
        }
    }

    @Test("a continued run ends with the very numbers of an uninterrupted one")
    func resume() throws {
        var whole = AdamW(), first = AdamW(), second = AdamW()
        let one = Self.start(), two = Self.start()
        for index in 0..<5 { Self.step(&whole, one, index) }
        for index in 0..<2 { Self.step(&first, two, index) }
        try second.restore(Dictionary(uniqueKeysWithValues: first.state.map { ($0.name, $0.tensor) }))
        for index in 2..<5 { Self.step(&second, two, index) }
        for (a, b) in zip(one, two) { #expect(a.value.array == b.value.array) }
    }

    @Test("a state that is not AdamW's is refused and changes nothing")
    func refusedState() throws {
        var optimizer = AdamW()
        Self.step(&optimizer, Self.start(), 0)
        let before = optimizer.state.map(\.name)
        #expect(throws: OptimizerError.self) { try optimizer.restore(["a.momentum": .zeros([1])]) }
        #expect(throws: OptimizerError.missingState("a.exp_avg")) { try optimizer.restore(["a.step": .zeros([1])]) }
        #expect(throws: OptimizerError.self) {
            try optimizer.restore(["a.step": .zeros([1]), "a.exp_avg": .zeros([2]), "a.exp_avg_sq": .zeros([3])])
        }
        #expect(throws: OptimizerError.self) { try optimizer.restore(["a.exp_avg": .zeros([2])]) }
        #expect(optimizer.state.map(\.name) == before)
    }

    @Test("weights and means that lie in a file's memory are copied before they change, and the file may go")
    func mapped() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "loralab-\(UUID().uuidString).safetensors").path
        let shape = [300, 200], gradient = formula("g", shape)
        let (here, there) = (Parameter("w", formula("w", shape), trainable: true), Parameter("w", formula("w", shape), trainable: true))
        var (whole, broken) = (AdamW(), AdamW())
        whole.step([here], gradients: [gradient], learningRate: 0.1)
        broken.step([there], gradients: [gradient], learningRate: 0.1)
        try SafetensorsWriter.write(broken.state + [("weight", there.value)], to: path)
        do {
            let file = try SafetensorsFile(path: path)
            try broken.restore(Dictionary(uniqueKeysWithValues: try broken.state.map { ($0.name, try file.tensor($0.name)) }))
            there.value = try file.tensor("weight")
        }
        try FileManager.default.removeItem(atPath: path)
        for _ in 0..<2 {
            whole.step([here], gradients: [gradient], learningRate: 0.1)
            broken.step([there], gradients: [gradient], learningRate: 0.1)
        }
        #expect(there.value.bits == here.value.bits)
    }

    @Test("a parameter of another shape starts anew")
    func resized() {
        var optimizer = AdamW()
        let gradient = Tensor.ones([2])
        optimizer.step([Parameter("p", .zeros([2]), trainable: true)], gradients: [gradient], learningRate: 0.1)
        let resized = Parameter("p", .zeros([3]), trainable: true)
        optimizer.step([resized], gradients: [.ones([3])], learningRate: 0.1)
        for value in resized.value.array { #expect(abs(value + 0.1) < 1e-6) }   // a first step moves by the learning rate
    }
}

@Suite struct GradientClippingTests {
    struct Case: Decodable { let norm: Float; let gradients: [[Float]] }

    @Test("norm and clipped gradients are torch's")
    func torch() throws {
        let cases = try JSONDecoder().decode([String: Case].self, from: Data(contentsOf: URL(fileURLWithPath: fixturePath("clipping.json"))))
        #expect(cases.count == 2)
        for (limit, expected) in cases {
            let gradients = shapes.map { formula("clip.\($0.0)", $0.1, scale: 3) }
            let (found, norm) = clipped(gradients, maximumNorm: try #require(Float(limit)))
            #expect(abs(norm.item() - expected.norm) < 1e-5)
            for (tensor, values) in zip(found, expected.gradients) {
                for (a, b) in zip(tensor.array, values) { #expect(abs(a - b) < 1e-6) }
            }
        }
    }

    @Test("a limit of zero leaves gradients alone, and long tensors are summed whole")
    func edges() {
        let ones = Tensor.ones([10_007])
        #expect(clipped([ones], maximumNorm: 0).gradients[0].array == ones.array)
        #expect(abs(Tensor.norm(of: [ones, .zeros([0])]).item() - Float(10_007).squareRoot()) < 1e-3)
    }
}

@Suite struct MemoryInPlaceTests {
    @Test("clipping and AdamW work in place on what nobody else holds")
    func inPlace() {
        let mirror = MirrorDevice(), parameter = Parameter("w", Tensor.ones([1024]).moved(to: mirror), trainable: true)
        var optimizer = AdamW()
        func step() {
            let found = [Tensor.ones([1024]).moved(to: mirror)]
            let (gradients, _) = clipped(consume found, maximumNorm: 1)
            optimizer.step([parameter], gradients: gradients, learningRate: 0.1)
        }
        step()
        mirror.pool.resetPeak()
        let held = mirror.pool.bytesInUse
        for _ in 0..<3 { step() }
        #expect(mirror.pool.bytesInUse == held && mirror.pool.peakBytes == held + 4096 + 64)       // a gradient and its norm
    }
}

@Suite struct MovingAverageTests {
    @Test("the average follows its rule, exchanges with the parameters, and comes back from its state")
    func rule() throws {
        let parameter = Parameter("p", Tensor([1], shape: [1]), trainable: true)
        var average = MovingAverage(decay: 0.5, warmsUp: false)
        average.update([parameter])
        parameter.value = Tensor([3], shape: [1])
        average.update([parameter])                                       // 0.5·1 + 0.5·3
        average.swap(with: [parameter])
        #expect(parameter.value.array == [2])
        var copy = MovingAverage(decay: 0.5, warmsUp: false)
        try copy.restore(Dictionary(uniqueKeysWithValues: average.state.map { ($0.name, $0.tensor) }))
        #expect(copy.steps == 2)
        copy.swap(with: [parameter])
        #expect(parameter.value.array == [3])
    }

    @Test("early steps forget the start sooner when warming up")
    func warmUp() {
        let parameter = Parameter("p", Tensor([0], shape: [1]), trainable: true)
        var average = MovingAverage(decay: 0.999)
        average.update([parameter])
        parameter.value = Tensor([1], shape: [1])
        average.update([parameter])                                       // decay (1+1)/(10+1)
        average.swap(with: [parameter])
        #expect(abs(parameter.value.array[0] - 9.0 / 11.0) < 1e-6)
    }
}
