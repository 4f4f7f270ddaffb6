import Datasets
import Imaging
import Models
import TensorCore

extension Session {
    /// Has the captioner write captions.
    ///
    /// - Parameters:
    ///   - progress: pictures done and in all, from 0; what it throws ends the work: captions made so far are written.
    /// - Returns: paths of the pictures captioned, and how many were left alone.
    public func caption(
        options: BLIP.GenerationOptions, prefix: String?, postfix: String?, overwrite: Bool, progress: (Int, Int) throws -> Void
    ) throws -> (written: [String], skipped: Int) {
        let model = try requireModel()
        guard let captioner = model.captioner else { throw LabError.noCaptioner(model: model.location) }
        guard let dataset else { throw LabError.noDataset }
        let items = dataset.pictures.filter { overwrite || !$0.isCaptioned }
        var captions: [String: String] = [:], stop: (any Error)?
        do {
            if !items.isEmpty { try progress(0, items.count) }
            for (index, item) in items.enumerated() {
                let side = captioner.imageSize
                let picture = try Picture.load(path: item.path).resized(width: side, height: side, filter: .bicubic)
                let text = captioner.caption(Tensor(picture.floats(), shape: [1, side, side, 3]), options: options)[0].replacing(" - ", with: "-")     // BERT's pieces of "three-quarter"
                captions[item.path] = [prefix, text, postfix].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ")
                try progress(index + 1, items.count)
            }
        } catch {
            stop = error
        }
        try write(dataset.changes(captions: captions))
        if let stop { throw stop }
        return (items.map(\.path), dataset.pictures.count - items.count)
    }

    /// Writes captions; the resident data set then has them.
    func write(_ changes: [CaptionChange]) throws {
        guard let dataset else { throw LabError.noDataset }
        guard !changes.isEmpty else { return }
        self.dataset = try dataset.writing(changes, overwrite: true)
    }
}
