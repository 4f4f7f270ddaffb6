/// A picture file that cannot be read or written.
public enum ImageError: Error, Equatable, Sendable {
    case unreadable(path: String, reason: String)
    /// `found` says what the file is instead: "text", "an empty file", "a GIF picture".
    case notAPicture(path: String, found: String)
    /// Of this kind, and a picture, but not one that can be read here.
    case unsupported(path: String, found: String)
    case truncated(path: String, kind: String)
    case damaged(path: String, kind: String, reason: String)
    /// Told before memory is taken. Pixels; `limit` is the largest number of pixels.
    case tooLarge(path: String, width: Int, height: Int, limit: Int)
    case cannotEncode(reason: String)
    case cannotWrite(path: String, reason: String)

    /// The same error with the file's path in place of the bytes' description.
    package func located(at path: String) -> ImageError {
        switch self {
        case .unreadable(_, let reason): .unreadable(path: path, reason: reason)
        case .notAPicture(_, let found): .notAPicture(path: path, found: found)
        case .unsupported(_, let found): .unsupported(path: path, found: found)
        case .truncated(_, let kind): .truncated(path: path, kind: kind)
        case .damaged(_, let kind, let reason): .damaged(path: path, kind: kind, reason: reason)
        case .tooLarge(_, let width, let height, let limit): .tooLarge(path: path, width: width, height: height, limit: limit)
        case .cannotEncode, .cannotWrite: self
        }
    }
}

extension ImageError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
        case .notAPicture(let path, let found): "\(path) is no picture, it is \(found)"
        case .unsupported(let path, let found): "\(path) is \(found), which is not supported"
        case .truncated(let path, let kind): "\(path) is a \(kind) picture that is cut short"
        case .damaged(let path, let kind, let reason): "\(path) is a damaged \(kind) picture: \(reason)"
        case .tooLarge(let path, let width, let height, let limit):
            "\(path) has \(width)×\(height) pixels, at most \(limit / 1_000_000) million are read"
        case .cannotEncode(let reason): "the picture cannot be encoded: \(reason)"
        case .cannotWrite(let path, let reason): "\(path) cannot be written: \(reason)"
        }
    }

    /// What the user can do about it, one sentence.
    public var wayOut: String {
        switch self {
        case .unreadable: "Check the path and the permissions of the file."
        case .notAPicture: "Remove the file from the folder, or replace it by the picture itself (PNG, JPEG or WebP)."
        case .unsupported: "Save it as PNG or JPEG."
        case .truncated, .damaged: "Fetch or export the picture again."
        case .tooLarge: "Make it smaller; training needs no more than a few megapixels."
        case .cannotEncode: "Change what is to be drawn or written."
        case .cannotWrite: "Check the folder, its permissions and the space on the disk."
        }
    }
}
