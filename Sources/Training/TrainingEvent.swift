import Diffusion
import Imaging

/// What a run says while it goes on; views and records are made of these.
public enum TrainingEvent: Sendable {
    /// Work before the first step.
    case preparing(Preparation)
    case started(TrainingPlan)
    case stepped(StepReport)
    case epochEnded(EpochReport)
    case sampled(SampleReport)
    case saved(SaveReport)
    /// All that was asked for is done.
    case finished(TrainingSummary)
    /// Stopped between two steps; the next `train` goes on from there.
    case stopped(TrainingSummary)
}

public struct Preparation: Sendable, Equatable {
    public enum Stage: Sendable, Equatable { case encodingPictures, encodingHeldOutPictures, measuringHeldOutLoss }
    public let stage: Stage
    public let done: Int, total: Int
}

/// What lies ahead when `train` is called.
public struct TrainingPlan: Sendable, Equatable {
    /// Updates done before, by this trainer in all its runs.
    public let firstStep: Int
    /// Updates that this run will have done at its end, and how many it has behind it.
    public let totalSteps: Int, doneSteps: Int
    public let firstEpoch: Int
    public let epochs: Int
    public let stepsPerEpoch: Int
    public let pictures: Int
    public let parameters: Int
    public let seed: UInt64
    /// Loss on fixed timesteps and noise over the held-out pictures before the first step.
    public let heldOutLoss: Float?
}

/// One update.
public struct StepReport: Sendable, Equatable {
    /// Counted from 1 over all runs of the trainer.
    public let step: Int
    /// Counted from 1 over all runs of the trainer.
    public let epoch: Int
    /// Counted from 1, within the epoch and within this run.
    public let stepInEpoch: Int, stepsPerEpoch: Int
    public let stepInRun: Int, totalSteps: Int
    public let loss: Float
    /// Mean over a window of one epoch, the number Kohya's scripts display.
    public let averageLoss: Float
    /// Rates used for this update; 0 for a part that is not trained.
    public let unetLearningRate: Double, textEncoderLearningRate: Double
    /// Global norm before clipping.
    public let gradientNorm: Float
    public let seconds: Double
    /// Pictures in this update.
    public let pictures: Int
    /// Bytes that tensors hold, now and at most.
    public let memory: Int, peakMemory: Int

    public var stepsPerSecond: Double { seconds > 0 ? 1 / seconds : 0 }
}

public struct EpochReport: Sendable, Equatable {
    public let epoch: Int
    public let step: Int
    /// Mean training loss of the epoch.
    public let averageLoss: Float
    public let heldOutLoss: Float?
    /// Whether the adapter of this epoch was kept.
    public let isKept: Bool
    public let seconds: Double
}

public struct SampleReport: Sendable {
    public let epoch: Int
    public let step: Int
    /// Which of the prompts.
    public let index: Int
    public let image: GeneratedImage
}

public struct SaveReport: Sendable, Equatable {
    public enum Kind: Sendable, Equatable { case adapter, state }
    public let kind: Kind
    public let path: String
    public let epoch: Int
    public let bytes: Int
}

public struct TrainingSummary: Sendable, Equatable {
    /// Over all runs of the trainer.
    public let step: Int, epoch: Int
    public let stepsInRun: Int, totalSteps: Int
    public let firstLoss: Float?, lastLoss: Float?
    public let heldOutLoss: Float?
    public let seconds: Double
}
