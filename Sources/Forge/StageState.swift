import Checkpoints
import Foundation
import Neural
import TensorCore

/// Where a stage stands: its weights, their moving average, the optimizer's moments, and the steps done. One safetensors file,
/// written whole or not at all.
struct StageState {
    private(set) var step = 0
    private let parameters: [Parameter]
    private let names: [String]
    private var optimizer: AdamW
    private var average: MovingAverage

    var parameterCount: Int { parameters.reduce(0) { $0 + $1.value.count } }

    /// The stage's state on disk if there is one, else its beginning.
    static func resume(_ stage: some ForgeStage, at path: String) throws -> StageState {
        var state = StageState(stage)
        if FileManager.default.fileExists(atPath: path) { try state.read(path) }
        return state
    }

    /// Puts the averaged weights of the state on disk into the stage's parameters: what is evaluated and packaged.
    static func loadAverage(into stage: some ForgeStage, from path: String, command: String) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw ForgeError.missing(stage: "this step", needs: "the trained \(stage.name)", command: command)
        }
        var state = StageState(stage)
        try state.read(path)
        state.average.swap(with: state.parameters)
    }

    /// The state of a stage whose parameters hold their final values.
    static func finished(_ stage: some ForgeStage) -> StageState {
        var state = StageState(stage)
        state.average.update(state.parameters)
        state.step = stage.plan.steps
        return state
    }

    /// Back to the plan's first step, with the averaged weights and nothing else of what was learnt.
    mutating func restart(_ plan: TrainingPlan) {
        average.swap(with: parameters)
        optimizer = AdamW(weightDecay: plan.weightDecay)
        average = MovingAverage(decay: Float(plan.averageDecay))
        step = 0
    }

    private init(_ stage: some ForgeStage) {
        names = stage.parameters.map(\.key)
        parameters = stage.parameters.map(\.parameter)
        optimizer = AdamW(weightDecay: stage.plan.weightDecay)
        average = MovingAverage(decay: Float(stage.plan.averageDecay))
    }

    mutating func apply(_ gradients: consuming [Tensor], plan: TrainingPlan) {
        let (bounded, _) = clipped(gradients, maximumNorm: Float(plan.gradientClip))
        optimizer.step(parameters, gradients: bounded, learningRate: Float(plan.learningRate(at: step)))
        average.update(parameters)
        step += 1
    }

    func save(to path: String) throws {
        let weights = zip(names, parameters).map { ("weights/" + $0, $1.value) }
        let moments = optimizer.state.map { ("optimizer/" + $0.name, $0.tensor) }
        let averages = average.state.map { ("average/" + $0.name, $0.tensor) }
        try SafetensorsWriter.write(weights + moments + averages, metadata: ["step": String(step)], to: path)
    }

    private mutating func read(_ path: String) throws {
        let file = try SafetensorsFile(path: path, copiesTensors: true)
        guard let step = file.metadata["step"].flatMap(Int.init) else {
            throw ForgeError.unreadable(path: path, reason: "it does not say at which step it was written")
        }
        for (name, parameter) in zip(names, parameters) {
            parameter.value = try file.tensor("weights/" + name, shape: parameter.value.shape)
        }
        try optimizer.restore(Self.group("optimizer/", of: file))
        try average.restore(Self.group("average/", of: file))
        self.step = step
    }

    private static func group(_ prefix: String, of file: SafetensorsFile) throws -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for (key, entry) in file.entries where key.hasPrefix(prefix) {
            tensors[String(key.dropFirst(prefix.count))] = try file.tensor(key, shape: entry.shape)
        }
        return tensors
    }
}
