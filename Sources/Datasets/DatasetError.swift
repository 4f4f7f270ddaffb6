import Imaging

/// A data set could not be read, or an option lies outside its range. Nothing was changed when one of these is thrown.
public enum DatasetError: Error, Equatable, Sendable {
    /// The folder does not exist; `nearest` is one beside it whose name is alike, if there is one.
    case missingFolder(String, nearest: String?)
    case notAFolder(String)
    case unreadableFolder(String, reason: String)
    case emptyFolder(String)
    /// A folder with files or folders, none of which is a picture; `found` says what is there.
    case noPictures(String, found: String)
    /// Pictures that cannot be used, each with the reason; nothing of the data set was loaded.
    case unusablePictures([UnusablePicture], of: Int)
    case unreadableCaption(path: String, reason: String)
    /// No picture has a caption, so there is nothing to learn words from.
    case noCaptions(folder: String, extension: String)
    /// An option outside its range.
    case invalidOption(name: String, value: String, allowed: String, nearest: String)
    /// Captions that exist already, and that were not to be replaced.
    case captionsExist([String])
    case cannotWriteCaption(path: String, reason: String)
    /// Where prepared pictures would go, something stands already.
    case destinationExists(String)
    case unwritableFolder(String)
    /// No picture was large enough to be prepared without enlarging it.
    case allTooSmall(count: Int, resolution: PixelSize)
}

/// A file with a picture's name that cannot be trained on.
public struct UnusablePicture: Sendable, Equatable {
    public let path: String
    public let reason: String
    public let wayOut: String
}

extension DatasetError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missingFolder(let path, let nearest):
            "the folder \(path) does not exist" + (nearest.map { "; there is \($0)" } ?? "")
        case .notAFolder(let path): "\(path) is a file, not a folder"
        case .unreadableFolder(let path, let reason): "the folder \(path) cannot be read: \(reason)"
        case .emptyFolder(let path): "the folder \(path) is empty"
        case .noPictures(let path, let found): "the folder \(path) holds no pictures (PNG, JPEG or WebP): \(found)"
        case .unusablePictures(let pictures, let total):
            "\(pictures.count) of \(total) picture\(total == 1 ? "" : "s") cannot be used: "
                + pictures.prefix(5).map(\.reason).joined(separator: "; ") + (pictures.count > 5 ? "; …" : "")
        case .unreadableCaption(let path, let reason): "the caption \(path) cannot be read: \(reason)"
        case .noCaptions(let folder, let ext): "no picture in \(folder) has a caption (a \(ext) file of the same name beside it)"
        case .invalidOption(let name, let value, let allowed, let nearest):
            "\(name) = \(value): allowed is \(allowed); the nearest is \(nearest)"
        case .captionsExist(let paths):
            "\(paths.count) caption\(paths.count == 1 ? " exists" : "s exist") already: " + paths.prefix(3).joined(separator: ", ") + (paths.count > 3 ? " …" : "")
        case .cannotWriteCaption(let path, let reason): "the caption \(path) cannot be written: \(reason)"
        case .destinationExists(let path): "\(path) exists already, and nothing in it is written over"
        case .unwritableFolder(let path): "nothing can be written into \(path)"
        case .allTooSmall(let count, let resolution): "all \(count) pictures are smaller than \(resolution)"
        }
    }

    /// What the user can do about it.
    public var wayOut: String {
        switch self {
        case .missingFolder, .notAFolder: "Give the path of a folder, absolute or relative to the notebook."
        case .unreadableFolder: "Check the permissions of the folder."
        case .emptyFolder, .noPictures: "Put the pictures into a subfolder named <repeats>_<name>, for instance 10_mystyle, each with a .txt caption beside it."
        case .unusablePictures(let pictures, _): (pictures.first?.wayOut ?? "") + " Or skip such files."
        case .unreadableCaption: "Save the file as UTF-8 text."
        case .noCaptions: "Have the pictures captioned, write captions by hand, or name class tokens to train on."
        case .invalidOption: "Give a value inside the range."
        case .captionsExist: "Ask for them to be overwritten if they should be."
        case .cannotWriteCaption, .unwritableFolder: "Check the folder's permissions and the disk."
        case .destinationExists: "Give another folder or another --name, or remove that one first."
        case .allTooSmall: "Let them be enlarged, or ask for a lower resolution."
        }
    }
}
