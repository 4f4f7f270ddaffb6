/// Something about a data set that its owner should know. Not an error: training can go on.
public enum Finding: Sendable, Equatable {
    /// Fewer pictures than the guide advises.
    case fewPictures(found: Int, recommended: Int)
    /// Pictures × repeats below what the guide advises.
    case fewImageSteps(found: Int, recommended: Int)
    /// Pictures whose sides are no multiples of the bucket step, so that edges are cut off.
    case sidesNotMultiples(files: [String], of: Int)
    /// Pictures with a side outside the range that suits the resolution, pixels.
    case sidesOutside(files: [String], range: ClosedRange<Int>)
    /// Pictures without a caption file, and the words used in its place.
    case missingCaptions(files: [String], usedInstead: String?)
    case emptyCaptions(files: [String])
    /// Captions found under another extension than the one asked for.
    case otherCaptionExtension(files: [String], expected: String)
    /// Pictures that are the same pixel for pixel.
    case duplicates(files: [String])
    /// Two pictures of one name, which share a caption.
    case sharedCaption(files: [String])
    /// Folders beside the numbered ones are not read.
    case ignoredFolder(String)
    /// Pictures beside the numbered folders are not read.
    case loosePictures(folder: String, count: Int)
    /// Files left out because they cannot be read.
    case skipped(UnusablePicture)
    /// Regularisation pictures that an epoch has no room for.
    case unusedRegularisation(count: Int)
    /// Pictures turned as their EXIF orientation says; Kohya's scripts would not.
    case rotated(files: [String])
}

extension Finding: CustomStringConvertible {
    public var description: String {
        switch self {
        case .fewPictures(let found, let recommended): "\(found) picture\(found == 1 ? "" : "s"); at least \(recommended) are advised"
        case .fewImageSteps(let found, let recommended): "pictures × repeats = \(found); \(recommended) or more are advised"
        case .sidesNotMultiples(let files, let step): "\(Self.list(files)): sides that are no multiples of \(step) lose their edges"
        case .sidesOutside(let files, let range): "\(Self.list(files)): sides outside \(range.lowerBound)…\(range.upperBound) pixels"
        case .missingCaptions(let files, let instead):
            "\(Self.list(files)): no caption" + (instead.map { "; “\($0)” is used" } ?? "")
        case .emptyCaptions(let files): "\(Self.list(files)): the caption is empty"
        case .otherCaptionExtension(let files, let expected): "\(Self.list(files)): used, though captions were expected to end in \(expected)"
        case .duplicates(let files): "\(Self.list(files)) are the same picture"
        case .sharedCaption(let files): "\(Self.list(files)) share one caption file"
        case .ignoredFolder(let path): "the folder \(path) is not read: its name does not begin with a number of repeats"
        case .loosePictures(let folder, let count): "\(count) picture\(count == 1 ? "" : "s") directly in \(folder) are not read: only its numbered folders are"
        case .skipped(let picture): "left out: \(picture.reason)"
        case .unusedRegularisation(let count): "\(count) regularisation picture\(count == 1 ? "" : "s") have no place in an epoch: there are more of them than training pictures"
        case .rotated(let files): "\(Self.list(files)): turned upright as the camera noted (EXIF)"
        }
    }

    /// What to do about it; empty when nothing has to be done.
    public var wayOut: String {
        switch self {
        case .fewPictures: "Add pictures, or expect the LoRA to copy the few there are."
        case .fewImageSteps(let found, let recommended): "Raise the repeats or the epochs by \((recommended + max(found, 1) - 1) / max(found, 1))×."
        case .sidesNotMultiples, .rotated, .sharedCaption: ""
        case .sidesOutside: "Crop or resize them first."
        case .missingCaptions, .emptyCaptions: "Write captions, by hand or with the captioner."
        case .otherCaptionExtension: "Name that extension, or rename the files."
        case .duplicates: "Remove all but one, or it counts twice."
        case .ignoredFolder(let path): "Rename it, for instance to 10_\(FolderLayout.lastComponent(path))."
        case .loosePictures: "Move them into a numbered folder."
        case .skipped(let picture): picture.wayOut
        case .unusedRegularisation: "Raise the repeats of the training pictures, or remove some."
        }
    }

    /// Names of up to three files, and how many more.
    private static func list(_ files: [String]) -> String {
        let names = files.prefix(3).map(FolderLayout.lastComponent).joined(separator: ", ")
        return files.count > 3 ? "\(names) and \(files.count - 3) more" : names
    }
}

extension Dataset {
    /// The guide's advice (product guide, "data set").
    static let advisedPictures = 15
    static let advisedImageSteps = 1500

    /// Checks the pictures against the guide, most important first.
    static func check(_ items: [DatasetItem], options: DatasetOptions, rotated: [String]) -> [Finding] {
        let own = items.filter { !$0.isRegularisation }
        var findings: [Finding] = []
        if own.count < advisedPictures { findings.append(.fewPictures(found: own.count, recommended: advisedPictures)) }
        let imageSteps = own.reduce(0) { $0 + $1.repeats }
        if imageSteps < advisedImageSteps { findings.append(.fewImageSteps(found: imageSteps, recommended: advisedImageSteps)) }
        findings += captionFindings(own, options)
        for group in Dictionary(grouping: items, by: \.contentHash).values where group.count > 1 {
            findings.append(.duplicates(files: group.map(\.path).sorted()))
        }
        let stems = Dictionary(grouping: items) { CaptionFile.stem($0.path) }
        for group in stems.values where group.count > 1 { findings.append(.sharedCaption(files: group.map(\.path).sorted())) }
        let shorter = min(options.resolution.width, options.resolution.height)
        let range = shorter...(max(options.resolution.width, options.resolution.height) * 3 / 2)
        let outside = own.filter { !range.contains($0.size.width) || !range.contains($0.size.height) }
        if !outside.isEmpty { findings.append(.sidesOutside(files: outside.map(\.path), range: range)) }
        let step = options.buckets.step
        let cut = own.filter { $0.size.width % step != 0 || $0.size.height % step != 0 }
        if !cut.isEmpty { findings.append(.sidesNotMultiples(files: cut.map(\.path), of: step)) }
        if !rotated.isEmpty { findings.append(.rotated(files: rotated)) }
        return findings.sorted { $0.order < $1.order }
    }

    private static func captionFindings(_ items: [DatasetItem], _ options: DatasetOptions) -> [Finding] {
        var findings: [Finding] = []
        let missing = items.filter { if case .file = $0.captionSource { false } else { true } }
        for (tokens, group) in Dictionary(grouping: missing, by: { $0.captionSource == .none ? "" : $0.caption }) {
            findings.append(.missingCaptions(files: group.map(\.path).sorted(), usedInstead: tokens.isEmpty ? nil : tokens))
        }
        let empty = items.filter { if case .file = $0.captionSource { $0.caption.isEmpty } else { false } }
        if !empty.isEmpty { findings.append(.emptyCaptions(files: empty.map(\.path))) }
        let expected = CaptionFile.normalised(options.captionExtension)
        let other = items.compactMap { item -> String? in
            if case .file(let path) = item.captionSource, !path.hasSuffix(expected) { path } else { nil }
        }
        if !other.isEmpty { findings.append(.otherCaptionExtension(files: other, expected: expected)) }
        return findings
    }
}

extension Finding {
    /// Findings are told in this order.
    fileprivate var order: Int {
        switch self {
        case .skipped: 0
        case .missingCaptions: 1
        case .emptyCaptions: 2
        case .otherCaptionExtension: 3
        case .fewPictures: 4
        case .fewImageSteps: 5
        case .duplicates: 6
        case .sharedCaption: 7
        case .sidesOutside: 8
        case .sidesNotMultiples: 9
        case .rotated: 10
        case .ignoredFolder: 11
        case .loosePictures: 12
        case .unusedRegularisation: 13
        }
    }
}
