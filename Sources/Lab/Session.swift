import Adapters
import Datasets
import Diffusion
import Dispatch
import Foundation
import Imaging
import Kernel
import Models
import Records
import TensorCore
import Threads
import Training

/// Everything that stays loaded from cell to cell: base model, pictures, adapter with its optimizer, and what was trained so far.
///
/// Cells that work on it take turns: `exclusively` lets one in and tells the others who is at work. What may be asked or posted while a cell
/// trains has locks of its own: `board` for what is shown, `shared` for who works and what is posted. Everything else is touched only by the
/// cell that is let in, hence `@unchecked Sendable`; magics that run beside it are given the board or use what `shared` guards.
public final class Session: @unchecked Sendable {
    public internal(set) var model: LoadedModel?
    public internal(set) var dataset: Dataset?
    /// Pictures that are never trained on.
    public internal(set) var heldOut: Dataset?
    /// How the data set was asked for, so that it can be read again for another model.
    var datasetRequest: DatasetRequest?
    public internal(set) var trainer: Trainer?
    /// An adapter that was loaded and not yet trained on.
    public internal(set) var loadedAdapter: AdapterNetwork?
    /// The captioner that `%caption --captioner` named last.
    var captioner: CaptionModel?
    /// What the loaded adapter's file said about how it was made.
    var loadedMetadata: [String: String] = [:]
    /// Seconds spent in training by the present trainer.
    public internal(set) var trainSeconds = 0.0
    /// Where the adapter was last written.
    public internal(set) var savedTo: String?
    /// Every run there was, in this kernel and before.
    let store: RunStore
    /// Folder in which states are kept for `%train --resume`, one folder for each run.
    let stateFolder: String
    var recorder: RunRecorder?

    private struct Shared {
        var worker: (work: String, cell: Int)?
        /// Each as it was posted: one is taken whole or not at all.
        var posted: [Settings] = []
        /// What the run that is going on is told; nil while none is.
        var running: TrainingConfiguration?
        var isClosing = false
    }
    private let shared = Monitor(Shared())
    /// What may be looked at while a cell trains.
    let board = Noticeboard()

    /// - Parameter folder: where runs and their states are kept; nil for LoRALab's data folder.
    public init(folder: String? = nil) {
        let folder = folder ?? dataFolder()
        store = RunStore(file: folder + "/runs.sqlite")
        stateFolder = folder + "/runs"
    }

    // MARK: Taking turns

    /// Lets one cell work on the session.
    ///
    /// - Throws: `LabError.busy` while another cell is at work; otherwise what `body` throws.
    public func exclusively<R>(_ work: String, cell: Int, _ body: () throws -> R) throws -> R {
        try shared.withLock { shared in
            if let worker = shared.worker { throw LabError.busy(with: worker.work, cell: worker.cell) }
            shared.worker = (work, cell)
        }
        defer {
            Engine.trimPool()    // between cells the process holds what stays loaded and no more
            publishStatus()
            shared.withLock { $0.worker = nil }
        }
        return try body()
    }

    /// What a cell is at work on, if one is.
    public var work: (work: String, cell: Int)? { shared.withLock { $0.worker } }

    /// Settings for the run that is going on, or for the next one; safe at any time. What is posted in one call is taken together or not at all.
    public func post(_ settings: Settings) {
        guard !settings.isEmpty else { return }
        shared.withLock { $0.posted.append(settings) }
    }

    /// What was posted since the last call, oldest first.
    func takePosted() -> [Settings] {
        shared.withLock { shared in
            defer { shared.posted = [] }
            return shared.posted
        }
    }

    /// Puts back what was taken and is still to wait, in front of what was posted since.
    func keepPosted(_ posts: [Settings]) { shared.withLock { $0.posted = posts + $0.posted } }

    /// Whether settings wait to be taken.
    var hasPosted: Bool { shared.withLock { !$0.posted.isEmpty } }

    /// What the run that is going on is told, or else the last one; with the settings that wait, for a cell beside it. Safe at any time.
    var outlook: (configuration: TrainingConfiguration, isRunning: Bool, waiting: [Settings]) {
        let last = board.status.configuration
        return shared.withLock { ($0.running ?? last ?? TrainingConfiguration(), $0.running != nil, $0.posted) }
    }
    func publishRunning(_ configuration: TrainingConfiguration?) { shared.withLock { $0.running = configuration } }

    /// The session's state as of the last cell; while one trains, as of the last epoch, with the steps done. Safe at any time.
    public var status: StatusReport { board.status }
    func publishStatus() { board.post(StatusReport(self)) }

    /// What the present trainer has said so far; safe at any time.
    public var history: RunHistory { board.history }

    /// Ends what a cell is at work on at the next step, its state written, and waits for that.
    ///
    /// - Parameter seconds: how long to wait at most.
    public func close(waiting seconds: Double) {
        shared.withLock { $0.isClosing = true }
        let end = DispatchTime.now().uptimeNanoseconds + UInt64(seconds * 1e9)
        while work != nil, DispatchTime.now().uptimeNanoseconds < end { usleep(5000) }
    }

    /// Whether the kernel is about to end.
    var isClosing: Bool { shared.withLock { $0.isClosing } }

    // MARK: Model

    /// Loads a base model. An adapter made for another model does not fit it and is let go.
    ///
    /// - Parameters:
    ///   - path: a folder in diffusers' layout, or a single file; nil for the embedded one.
    ///   - options: other parts than the model's own, and how weights are kept.
    /// - Returns: the model, and whether an adapter was let go for it.
    @discardableResult
    public func loadModel(_ path: String? = nil, options: BaseModel.LoadOptions = .init()) throws -> (model: LoadedModel, droppedAdapter: Bool) {
        let loaded = try LoadedModel(path: path ?? EmbeddedModel.folder(), options: options)
        let droppedAdapter = network != nil
        let formerSide = model?.nativeSide
        endRun()
        loadedAdapter = nil
        model = loaded
        board.modelChanged(guideApplies: loaded.guideApplies)
        if let request = datasetRequest, request.resolution == nil, formerSide != loaded.nativeSide { try readDataset(request) }
        return (loaded, droppedAdapter)
    }

    /// The model, the embedded one if none was loaded, whose files are still those that were loaded.
    ///
    /// - Throws: `ModelFileError.changed`; what `loadModel` throws.
    func requireModel() throws -> LoadedModel {
        let model = try presentModel()
        try model.diffusion.requireUnchanged()
        return model
    }

    /// The model, the embedded one if none was loaded, for what asks nothing of its weights.
    private func presentModel() throws -> LoadedModel { try model ?? loadModel().model }

    /// The adapter that draws and is saved: the one in training, else the one that was loaded.
    public var network: AdapterNetwork? { trainer?.network ?? loadedAdapter }

    /// Puts the present trainer's history with the past ones.
    func endRun() {
        board.endRun()
        trainer?.network.detach()
        loadedAdapter?.detach()
        trainer = nil
        recorder = nil
        trainSeconds = 0
    }

    // MARK: Data set

    /// Reads pictures; the model's own resolution is used unless one is given.
    ///
    /// - Parameter progress: pictures read, pictures in all; what it throws ends the reading.
    /// - Throws: `DatasetError` for the pictures or the held-out ones; the session keeps what it had.
    @discardableResult
    public func readDataset(_ request: DatasetRequest, progress: (Int, Int) throws -> Void = { _, _ in }) throws -> Dataset {
        let model = try presentModel()
        let options = request.options(nativeSide: model.nativeSide, multiple: model.diffusion.latentScale)
        let read = try request.sources.map { try Dataset($0, options: options, progress: progress) } ?? Dataset(request.path, options: options, progress: progress)
        let held = try request.heldOut.map { path in
            var options = options
            options.regularisation = nil
            return try Dataset(path, options: options, progress: progress)
        }
        (dataset, heldOut, datasetRequest) = (read, held, request)
        return read
    }
}

/// How a data set is asked for; what is nil follows from the model.
public struct DatasetRequest: Sendable, Equatable {
    public var path: String
    /// Folders named one by one, in place of the path.
    public var sources: [SubsetSource]?
    /// A folder of pictures that are never trained on.
    public var heldOut: String?
    /// Pixels.
    public var resolution: PixelSize?
    public var buckets = BucketOptions()
    public var repeats: Int?
    public var captionExtension = ".txt"
    public var classTokens: String?
    public var regularisation: String?
    public var skipsUnusable = false

    public init(_ path: String) { self.path = path }

    /// - Parameters:
    ///   - nativeSide: pixels along a side of the model's own pictures.
    ///   - multiple: sides must be multiples of this for the model, pixels.
    func options(nativeSide: Int, multiple: Int) -> DatasetOptions {
        let resolution = resolution ?? PixelSize(nativeSide, nativeSide)
        var buckets = buckets
        // Kohya's shortest and longest sides are made for 512 pixels and more.
        buckets.minimumSide = min(buckets.minimumSide, resolution.width, resolution.height)
        buckets.maximumSide = max(buckets.maximumSide, resolution.width, resolution.height)
        let halfSide = min(resolution.width, resolution.height) / 2
        buckets.step = max(min(buckets.step, halfSide) / multiple * multiple, multiple)
        return DatasetOptions(
            resolution: resolution, buckets: buckets, repeats: repeats, captionExtension: captionExtension, classTokens: classTokens,
            regularisation: regularisation, skipsUnusable: skipsUnusable)
    }
}
