import Datasets
import Imaging
import Models

extension Session {
    /// Has a captioner write captions.
    ///
    /// - Parameters:
    ///   - captioner: a folder with BLIP or a tagger; nil for the base model's own, else the embedded one.
    ///   - shouldStop: asked while a caption is made; a half made one is thrown away.
    ///   - progress: pictures done and in all, from 0; what it throws ends the work: captions made so far are written.
    /// - Returns: paths of the pictures captioned, and how many were left alone.
    public func caption(
        captioner path: String?, options: CaptionModel.Options, prefix: String?, postfix: String?, overwrite: Bool,
        shouldStop: () -> Bool = { false }, progress: (Int, Int) throws -> Void
    ) throws -> (written: [String], skipped: Int) {
        guard let dataset else { throw LabError.noDataset }
        let captioner = try captioner(at: path)
        let items = dataset.pictures.filter { overwrite || !$0.isCaptioned }
        var captions: [String: String] = [:], stop: (any Error)?
        do {
            if !items.isEmpty { try progress(0, items.count) }
            for (index, item) in items.enumerated() {
                var text = captioner.caption(pictures: [try Picture.load(path: item.path)], options: options, isCancelled: shouldStop).first ?? ""
                if shouldStop() { try progress(index, items.count) }
                try captioner.requireUnchanged()
                if path == nil { text = text.replacing(" - ", with: "-") }      // the embedded captioner's pieces of "three-quarter"
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

    /// The captioner of a folder, which stays loaded; without one the base model's own, else the embedded one. It is read again when its
    /// files have changed: nothing else depends on it.
    private func captioner(at path: String?) throws -> CaptionModel {
        let own = path == nil ? try requireModel().captioner : nil
        let folder = try path ?? own?.location ?? EmbeddedModel.folder() + "/captioner"
        let present = [own.map(CaptionModel.blip), captioner].compactMap { $0 }
        if let fitting = present.first(where: { $0.location == folder && $0.isUnchanged }) { return fitting }
        let loaded = try CaptionModel.load(folder: folder)
        captioner = loaded
        return loaded
    }

    /// Writes captions; the resident data set then has them.
    func write(_ changes: [CaptionChange]) throws {
        guard let dataset else { throw LabError.noDataset }
        guard !changes.isEmpty else { return }
        self.dataset = try dataset.writing(changes, overwrite: true)
    }
}
